"""Calls of the rig's EC2 that a test wants refused, and how EC2 refuses them."""

from pathlib import Path

# CreateFleet answers well where it launches nothing, and lists why:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFleet.html
NO_FLEET = """<CreateFleetResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>rig</requestId><fleetId>fleet-00000000-0000-0000-0000-000000000000</fleetId><errorSet><item>
<errorCode>{code}</errorCode><errorMessage>{message}</errorMessage><lifecycle>spot</lifecycle>
</item></errorSet><fleetInstanceSet/></CreateFleetResponse>"""
REFUSED = "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>"
# Of these an answer tells; the others refuse the call itself.
SHORTAGES = ("InsufficientInstanceCapacity", "MaxSpotInstanceCountExceeded")
# What EC2 says of a code, as https://github.com/hashicorp/packer/issues/8740 and
# https://github.com/NixOS/nixops-aws/issues/41 have it; of permissions, as
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security_iam_troubleshoot.html
MESSAGES = {
    "UnauthorizedOperation": "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/"
    "simulated is not authorized to perform: ec2:{action} on resource: * because no identity-based policy allows the "
    "ec2:{action} action. Encoded authorization failure message: c2ltdWxhdGVk",
    "InsufficientInstanceCapacity": "There is no Spot capacity available that matches your request.",
    "MaxSpotInstanceCountExceeded": "Max spot instance count exceeded",
}


def take(file: Path, action: str) -> str:
    """The code that waits for this action in a file with a line per refusal, and no longer then; empty without one."""
    waiting = file.read_text().splitlines() if file.exists() else []
    for number, line in enumerate(waiting):
        name, _, code = line.partition(" ")
        if name == action:
            file.write_text("\n".join(waiting[:number] + waiting[number + 1 :]))
            return code
    return ""


def answer(action: str, code: str) -> tuple[int, str]:
    """How EC2 answers: the status, and the body."""
    message = MESSAGES.get(code, "rig").format(action=action)
    if action == "CreateFleet" and code in SHORTAGES:
        return 200, NO_FLEET.format(code=code, message=message)
    return 403 if code == "UnauthorizedOperation" else 400, REFUSED.format(code=code, message=message)
