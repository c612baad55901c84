"""Price lists: what others say a model costs, read into the body of a cost card; one file for each way it is written.

Promise: reading is pure and strict; money is exact decimals from first to last; a price list that leaves something out
never makes anything cheaper: what has no price of its own gets that of text, and a multiple of service tiers or hours
is only believed where every rate moves by it. What cannot be told as a cost card is refused with a sentence.
"""

from gateway.pricelists.body import CannotTell, Modalities, card_body

__all__ = ["CannotTell", "Modalities", "card_body"]
