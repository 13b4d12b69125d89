"""What the suite's services agree on beside the protos: topics, the event's body, what an id may be."""
