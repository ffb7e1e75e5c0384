"""What verifiers have done outside: models that are asked, pages that are fetched, all of it through the egress proxy."""
