"""AffectNet in the several forms that it lies on disks in."""
