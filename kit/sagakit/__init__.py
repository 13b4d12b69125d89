"""Reliable messaging for services that share no database: steps, outbox, inbox, relay, consumer.

It knows no service: what the suite's services agree on is in `contract`.
"""
