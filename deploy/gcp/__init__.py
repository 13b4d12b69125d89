"""Setup and teardown of a Google Cloud project, by `gcloud`."""
