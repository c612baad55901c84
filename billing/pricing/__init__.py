"""Pricing: what a request costs, what it is charged, and how to prove it. Pure arithmetic, no framework.

    usage -> cost card -> cost -> plan method -> modifiers -> guards -> rounding -> charge

One pipeline (`engine.charge`) answers quotes, holds, settlements, replays and what-ifs, so they cannot disagree.
Read a card and a plan once, make `Rates` of them, price many. Everything is integers and exact fractions; nothing is
a float, money is rounded once, up, and what has no price is refused.

    usage, cards, plans, modifiers, circumstances   what goes in, read strictly from JSON
    rates, unknown                                  prepared once per plan and model
    engine, bounds, grants, orders                  charges, ceilings, the boundary of a grant, packages
    receipt, steps, catalogue, diff, validate       proof, explanation, price list, versions, what is refused on save
    presets                                         five ready plans
"""

from billing.pricing.bounds import Bounds, affordable_output, ceiling
from billing.pricing.cards import Card, Unpriced
from billing.pricing.catalogue import ListedPrice, price_list
from billing.pricing.circumstances import PLAIN, Circumstances
from billing.pricing.diff import Difference, differences
from billing.pricing.engine import Charge, OutOfRange, charge
from billing.pricing.grants import Split, split
from billing.pricing.modifiers import NO_MODIFIERS, Modifiers
from billing.pricing.orders import Order, OrderPrice, order_price
from billing.pricing.plans import Plan
from billing.pricing.presets import PRESETS
from billing.pricing.rates import Rates
from billing.pricing.reading import Malformed
from billing.pricing.receipt import agrees, recompute, snapshot
from billing.pricing.steps import Step, explain
from billing.pricing.usage import Bucket, Line, Usage
from billing.pricing.validate import Problem, card_problems, plan_problems

__all__ = [
    "NO_MODIFIERS",
    "PLAIN",
    "PRESETS",
    "Bounds",
    "Bucket",
    "Card",
    "Charge",
    "Circumstances",
    "Difference",
    "Line",
    "ListedPrice",
    "Malformed",
    "Modifiers",
    "Order",
    "OrderPrice",
    "OutOfRange",
    "Plan",
    "Problem",
    "Rates",
    "Split",
    "Step",
    "Unpriced",
    "Usage",
    "affordable_output",
    "agrees",
    "card_problems",
    "ceiling",
    "charge",
    "differences",
    "explain",
    "order_price",
    "plan_problems",
    "price_list",
    "recompute",
    "snapshot",
    "split",
]
