"""Deployment of the suite: manifests, images, Google Cloud."""
