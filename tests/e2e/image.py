"""The image that the end-to-end tests build where any would do."""

# It is made fastest; what it goes through is what every image goes through.
IMAGE = "parallelcluster-cpu"
