"""What a Google Cloud project needs for the suite, made and removed by `gcloud`."""
