"""One encoder promoted to many catalogs on a platform of the drill's own: seconds to each catalog's release."""
