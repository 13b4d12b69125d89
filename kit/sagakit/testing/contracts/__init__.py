"""The contract suites, for authors of backends: subclass them in a test module, with the fixture they name.

```python
class TestOurTables(TablesContract):
    @pytest.fixture
    def open_tables(self, tmp_path):
        return lambda: our_tables(tmp_path)
```

They need pytest and pytest-asyncio (`sagakit[testing]`). `Store` and `Inbox` hold over whatever passes
`TablesContract`; consumer and relay over whatever passes `BusContract`.
"""

from sagakit.testing.contracts.brokers import BrokerUnderTest, Listener
from sagakit.testing.contracts.bus import BusContract
from sagakit.testing.contracts.entities import OpenTables
from sagakit.testing.contracts.provisioner import ProvisionerContract
from sagakit.testing.contracts.pull import PullContract
from sagakit.testing.contracts.queries import TablesContract

__all__ = [
    "BrokerUnderTest",
    "BusContract",
    "Listener",
    "OpenTables",
    "ProvisionerContract",
    "PullContract",
    "TablesContract",
]
