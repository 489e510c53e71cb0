"""Ways to run the whole platform; `deploy.local` is one machine."""
