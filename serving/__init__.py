"""The search tier: a replica that holds two releases of each catalog and answers from one."""
