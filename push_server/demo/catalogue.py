"""The demo shop's catalogue: records that nobody ever pressed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One article."""

    product_id: str
    title: str
    artist: str
    category: str
    price: float

    def document(self, shop: str) -> dict[str, object]:
        """What `PUT /v1/products` takes of it."""
        return {
            "product_id": self.product_id,
            "name": f"{self.artist}: {self.title}",
            "url": f"{shop}/#{self.product_id}",
            "price": self.price,
            "category": self.category,
            "brand": self.artist,
            "stock": 40,
        }


_LISTING = {
    "Jazz": [
        ("Slow Tram to Óbuda", "The Lantern Quartet", 13.99),
        ("Blue Umbrellas", "Marta Kvist", 11.49),
        ("Seven Floors Up", "Ödön Bell Trio", 14.99),
        ("After the Last Ferry", "Hallway Nine", 12.49),
        ("Paper Moons, Vol. 2", "Ines Albarrán", 15.99),
    ],
    "Classical": [
        ("Winter Suites", "Tavasz Ensemble", 16.99),
        ("Letters for Two Cellos", "Brandt & Oyelaran", 14.49),
        ("Vespers at Low Tide", "Choir of St Brannoc", 13.49),
        ("Études for a Cold Piano", "Lena Ström", 12.99),
    ],
    "Rock": [
        ("Gravel Parade", "The Understudies", 11.99),
        ("Neon Allotment", "Kite Department", 10.99),
        ("Thirteen Exits", "Motorway Saints", 12.99),
        ("Loud Furniture", "Poppy & the Receipts", 9.99),
        ("Static Harvest", "Old Weather", 13.49),
    ],
    "Folk": [
        ("The Miller's Other Daughter", "Hedge & Hollow", 12.49),
        ("Songs from the Salt Road", "Aino Rautio", 13.99),
        ("Nine Miles of Rye", "Dunmore Lasses", 11.49),
        ("Hazafelé", "Patak Zenekar", 12.99),
    ],
    "Electronic": [
        ("Capacitor Dreams", "Null Island", 10.49),
        ("Night Bus Protocols", "Vera Sinus", 11.99),
        ("Lo-Fi Cartography", "Grid Reference", 9.49),
        ("Ghost in the Modem", "56k", 12.49),
    ],
    "Soundtrack": [
        ("The Lighthouse Keeper's Heir", "Original Score", 14.99),
        ("Red Kites over Kent", "Original Score", 13.99),
        ("A Map of the Interior", "Original Score", 15.49),
    ],
}

RECORDS = [
    Record(f"{category[:2].lower()}{number}", title, artist, category, price)
    for category, records in _LISTING.items()
    for number, (title, artist, price) in enumerate(records, start=1)
]
CATEGORIES = list(_LISTING)
BY_CATEGORY = {category: [record for record in RECORDS if record.category == category] for category in CATEGORIES}
