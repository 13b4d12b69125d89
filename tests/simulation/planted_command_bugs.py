"""Planted bugs of commands that clients repeat."""

from dataclasses import replace
from typing import Any
from unittest.mock import patch

from sagakit.inbox import Inbox
from services.purchase.commands import IdempotentCommands
from tests.simulation.bug import Planted, bug


@bug()
def a_repeated_command_runs_again() -> Planted:
    async def run(self: IdempotentCommands, command: Any, *how: Any, **options: Any) -> Any:
        return await original(self, replace(command, commandid=""), *how, **options)

    original = IdempotentCommands.execute
    return patch.object(IdempotentCommands, "execute", run)


@bug()
def a_command_without_changes_is_not_recorded() -> Planted:
    def once(self: Inbox, *how: Any, **options: Any) -> Any:
        return original(self, *how, **{**options, "always": False})

    original = Inbox.once
    return patch.object(Inbox, "once", once)
