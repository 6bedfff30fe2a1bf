"""Names that tests of AWS use: an account, regions, a row of AMIs and its channels."""

ACCOUNT = "123456789012"
REGION, OTHER, THIRD = "us-east-1", "us-west-2", "eu-west-1"
ROW = ("parallelcluster", "al2023", "x86_64")
STABLE, CANDIDATE = ("/ingot/" + "/".join((channel, *ROW)) for channel in ("stable", "candidate"))
WORDS = ["parallelcluster", "--os", "al2023"]
