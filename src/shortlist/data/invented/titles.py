"""Titles of films that were never made: words by genre, put together by pattern."""

import numpy as np

_ADJECTIVES_AND_NOUNS: dict[str, tuple[str, str]] = {
    "Action": (
        "Burning Relentless Iron Double Final Reckless Steel Armoured",
        "Convoy Pursuit Payload Roadblock Detonator Gauntlet Getaway Hardline Overdrive Strike",
    ),
    "Adventure": (
        "Uncharted Drifting Hidden Farthest Sunken Wandering Golden Windward",
        "Expedition Compass Caravan Passage Atoll Summit Voyage Monsoon River Trailhead",
    ),
    "Animation": (
        "Paper Clockwork Tiny Bouncing Marmalade Painted Button Whistling",
        "Hedgehog Balloon Teapot Puddle Otter Umbrella Pinwheel Snowglobe Badger Kite",
    ),
    "Comedy": (
        "Awkward Hopeless Accidental Borrowed Ridiculous Overdue Unlikely Part-Time",
        "Roommate Landlord Toast Neighbour Casserole Reunion Dentist Buffet Intern Wedding",
    ),
    "Crime": (
        "Crooked Marked Silent Dirty Cold Counterfeit Two-Faced Bitter",
        "Ledger Heist Alibi Bagman Payroll Fence Racket Verdict Informer Safe",
    ),
    "Documentary": (
        "Ordinary Living Unseen Measured Disappearing Patient Working Handmade",
        "Archive Harvest Wetland Orchard Bees Railway Glacier Bakery Census Lighthouse",
    ),
    "Drama": (
        "Quiet Borrowed Unfinished Distant Fragile Ordinary Empty Late",
        "House Inheritance Sisters Letter Kitchen Winter Orchard Silence Father Crossing",
    ),
    "Family": (
        "Muddy Best Little Brave Wobbly Giant Summer Secret",
        "Treehouse Puppy Pony Sleepover Sandcastle Backpack Tadpole Holiday Grandpa Scooter",
    ),
    "Fantasy": (
        "Enchanted Moonlit Thorned Forgotten Silver Elder Hollow Starlit",
        "Crown Dragon Spellbook Warlock Kingdom Mirror Amulet Prophecy Unicorn Throne",
    ),
    "History": (
        "Imperial Forgotten Royal Stubborn Exiled Provincial Old Uncrowned",
        "Regent Treaty Cartographer Parliament Physician Dynasty Chancellor Duchess Scribe Decree",
    ),
    "Horror": (
        "Rotting Hungry Whispering Nameless Cellar Pale Bleeding Sleepless",
        "Attic Crypt Marrow Doll Séance Exorcist Asylum Scarecrow Hex Shroud",
    ),
    "Music": (
        "Electric Velvet Offbeat Broken Seventh Humming Backstage Acoustic",
        "Chorus Trumpet Encore Ballad Jukebox Cellist Rehearsal Tambourine Duet Bandstand",
    ),
    "Mystery": (
        "Missing Locked Vanishing Sealed Masked Curious Hidden Thirteenth",
        "Cipher Lodger Portrait Clue Guest Manuscript Inkwell Stranger Bellringer Staircase",
    ),
    "Romance": (
        "Tender Secret Second Rainy Slow Foolish Midnight Sweet",
        "Kiss Valentine Bouquet Promise Heart Sweetheart Proposal Waltz Honeymoon Postcard",
    ),
    "Science Fiction": (
        "Orbital Synthetic Quantum Lunar Frozen Binary Stellar Ninth",
        "Colony Android Signal Reactor Wormhole Probe Satellite Telescope Clone Hangar",
    ),
    "Thriller": (
        "Fatal Hostile Paranoid Blind Stolen Breathless Wired Cornered",
        "Witness Deadline Hostage Motive Courier Blackout Surveillance Trap Ransom Escape",
    ),
    "War": (
        "Last Fallen Muddy Forward Occupied Distant Shattered Long",
        "Battalion Trench Outpost Medic Armistice Bunker Squadron Frontier Bridgehead Sentry",
    ),
    "Western": (
        "Dusty Crooked Lonesome Barbed Restless Sunburnt Rusty Lawless",
        "Saddle Homestead Stagecoach Marshal Canyon Gunslinger Cattle Outlaw Prairie Spur",
    ),
}
_PLACES = (
    "Velmora Harrowgate Ostrava-Lune Quillhaven Tarn Bellacosta Nordvik Pell Amberly Sarkand "
    "Dunmarrow Isla-Verna Kestrel-Bay Ravensmoor Tolliver Zembra Corrigan "
    "Mirefield Lakewater Ashby-Down"
)
_NAMES = (
    "Marta Ansel Odile Benedict Yuna Tobias Ingrid Rafael Priya Casimir Lotte Dmitri Saoirse Emeka "
    "Hana Lucien Wren Ottoline Jasper Noor"
)
_COUNTS = ("Nine Nights", "Two Winters", "Seven Days", "One Summer", "Forty Hours", "Three Autumns")
_PATTERNS = (
    "The {adjective} {noun}",
    "The {adjective} {noun}",
    "{adjective} {noun}",
    "The {noun} of {place}",
    "{name} and the {noun}",
    "{name}'s {noun}",
    "The {noun} and the {other}",
    "The {noun} at {place}",
    "The Last {noun}",
    "{count} in {place}",
    "{name} and the {adjective} {noun}",
)

GENRES = tuple(_ADJECTIVES_AND_NOUNS)


def invent_titles(genres: list[list[str]], rng: np.random.Generator) -> list[str]:
    """Invent a title for each film, all different, in the words of its genres.

    Args:
        genres: The genres of each film, from `GENRES`.
        rng: The source of chance.

    Example:
        >>> invent_titles([["Western"]], np.random.default_rng(4))
        ['Noor and the Lawless Outlaw']
    """
    words = {
        genre: (adjectives.split(), nouns.split())
        for genre, (adjectives, nouns) in _ADJECTIVES_AND_NOUNS.items()
    }
    places = [place.replace("-", " ") for place in _PLACES.split()]
    names = _NAMES.split()

    def pick(options: list[str] | tuple[str, ...]) -> str:
        return options[int(rng.integers(len(options)))]

    titles: dict[str, None] = {}
    for film in genres:
        while True:
            noun = pick(words[film[0]][1])
            title = pick(_PATTERNS).format(
                adjective=pick(words[film[-1]][0]),
                noun=noun,
                other=pick([other for other in words[film[-1]][1] if other != noun]),
                place=pick(places),
                name=pick(names),
                count=pick(_COUNTS),
            )
            if title not in titles:
                titles[title] = None
                break
    return list(titles)
