"""The contract of the services, beside the protos: topics, the event body, statuses, rules for fields."""
