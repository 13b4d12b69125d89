"""Where the suite is deployed to, and how."""
