"""The inventory: what there is, and what orders have set aside."""
