"""What is measured, and what is made of it: the catalogue of metrics, dashboards, alerts."""
