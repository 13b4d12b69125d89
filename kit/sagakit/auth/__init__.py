"""Bearer tokens: verification, the issuer's keys, and the caller they name."""
