"""One order's feed: its history over all services, then what happens next, live or by long polling."""
