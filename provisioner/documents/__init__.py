"""Documents: labels and certificates, as paper for people and as signed JSON for machines."""
