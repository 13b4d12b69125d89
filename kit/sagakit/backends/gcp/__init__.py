"""The gcp backend: Datastore and Pub/Sub, or Google's emulators of them."""
