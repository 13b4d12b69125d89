"""What the services agree on beside the protos: topics, the event body, statuses, rules for fields."""
