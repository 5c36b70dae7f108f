"""All measures of the programme, out of facts: what `/iom/performance` shows, in order. Definitions: docs/worth.md, word
for word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Final

from emtrack.forms.iom import Cohort
from emtrack.iom.offences import HARM_INDEX
from emtrack.worth.before_after import BeforeAfter, before_after
from emtrack.worth.career import median_career
from emtrack.worth.facts import Facts, Month
from emtrack.worth.fairness import NOT_SAID, fairness
from emtrack.worth.figures import Bar, Drawing, Figure, Measure, Point, Unit, counted, estimated, shared, told
from emtrack.worth.keeping import kept, p_chart
from emtrack.worth.lives import YEAR_DAYS, Life, months_later
from emtrack.worth.money import break_even
from emtrack.worth.process import hours_of, on_time
from emtrack.worth.reoffending import Reoffending, RiskFactor, reoffending, risk_factors
from emtrack.worth.settling import Answer, settled

LEAST_DRAWN: Final = 30
"""People in a year of age, or in a chart at all."""
PROCESS_MONTHS: Final = 12


def all_measures(facts: Facts, cohort: Cohort | None) -> list[Measure]:
    """Of everybody who was ever selected (for one cohort, or for any), those removed since too."""
    chosen = chosen_of(facts.everybody, cohort)
    begin, end = facts.period
    again = reoffending([_since_selected(life) for life in chosen], begin, end, facts.today)
    numbers = {life.person for life in chosen}
    return [
        _proven(again),
        _often(again),
        _before_after(before_after(chosen, facts.everybody, facts.today)),
        _career(chosen, facts.today),
        _risk(again),
        _process(facts, numbers),
        _needs(chosen, facts),
        _compliance([one for one in facts.months if one.person in numbers]),
        _money(chosen, facts),
        _fairness(chosen, facts),
    ]


def chosen_of(everybody: Iterable[Life], cohort: Cohort | None) -> list[Life]:
    """Who was ever selected, for one cohort or for any."""
    return [life for life in everybody if any(cohort in (None, one.cohort) for one in life.selected)]


def _since_selected(life: Life) -> Life:
    """Index dates before the programme say nothing of it."""
    day = life.chosen_on
    return life._replace(indexes=tuple(one for one in life.indexes if day is not None and one.day >= day))


def _proven(again: Reoffending) -> Measure:
    known, not_yet = again.follow_up
    return Measure(
        key="proven",
        title="Proven reoffending",
        definition=(
            "People with at least one offence committed within 365 days of their index date (release, "
            "non-custodial conviction, caution) and proven in those 365 days or the 6 months after, of all "
            "people with an index date in the period, once each. Index dates from the selection on. 95 % "
            "interval: Wilson."
        ),
        figures=(
            shared(
                "proven.rate",
                "Proven reoffending rate",
                again.rate,
                rests_on=len(known),
                unknown=len(not_yet),
                people=_people(one.life for one in again.reoffended),
            ),
            counted(
                "proven.followed", "Followed up to the end", len(known), people=_people(one.life for one in known)
            ),
            counted(
                "proven.not_yet",
                "Not yet known: the index date is less than 18 months ago",
                len(not_yet),
                people=_people(not_yet),
            ),
        ),
        not_known=f"{len(not_yet)} {_are(not_yet)} not yet known and in no rate.",
    )


def _are(people: Sequence[object]) -> str:
    return "person is" if len(people) == 1 else "people are"


def _people(lives: Iterable[Life]) -> list[int]:
    return [life.person for life in lives]


def _often(again: Reoffending) -> Measure:
    known, people = again.follow_up.known, len(again.follow_up.known)
    who = _people(one.life for one in again.reoffended)
    offences = sum(len(one.reoffences) for one in known)
    untold, asked = sum(one.untold_days for one in known), YEAR_DAYS * people
    return Measure(
        key="often",
        title="How often, how gravely, how often at liberty",
        definition=(
            f"Reoffences and harm days ({HARM_INDEX}) of the people followed up, divided by these people; and "
            "reoffences divided by their days not in custody, for 100 days. 95 % interval: bootstrap over "
            "people, 2,000 draws, fixed seed."
        ),
        figures=(
            estimated(
                "often.frequency",
                "Reoffences",
                again.per_person,
                Unit.OFFENCES,
                rests_on=people,
                count=offences,
                people=who,
            ),
            estimated("often.harm", "Harm days", again.harm, Unit.HARM, rests_on=people, count=offences, people=who),
            estimated(
                "often.liberty",
                "Reoffences at liberty",
                again.at_liberty,
                Unit.PER_100_DAYS,
                rests_on=people,
                count=offences,
                people=who,
            ),
        ),
        not_known=(
            f"{again.without_harm} reoffences are of kinds for which the index has no figure and add no harm. For "
            f"{_percent(untold, asked)} of the days followed up no status is on record; they count as at liberty."
        ),
    )


def _percent(part: float, of: float) -> str:
    return "none" if of == 0 else f"{100 * part / of:.0f} %"


def _before_after(found: BeforeAfter) -> Measure:
    people, pool = len(found.known), found.pool
    who = _people(one.life for one in found.known)
    rows = (
        ("before", "12 months before the selection", found.before, sum(one.before for one in found.known)),
        ("after", "12 months after it", found.after, sum(one.after for one in found.known)),
        ("expected", "Expected if nothing worked", found.expected, None),
    )
    bars = tuple(
        Bar(words, estimate.value, estimate.low, estimate.high)
        for _, words, estimate, _ in rows
        if estimate is not None
    )
    notes = [
        "A year for which people are chosen is a bad one: the next is better by itself. What counts is after less expected."
    ]
    if pool is not None and pool.spread is None:
        notes.append(f"What would be expected cannot be told: {pool.trouble}.")
    elif pool is not None and pool.spread is not None:
        notes.append(
            f"The pool: {pool.people:,} people on record, {pool.others:,} of them never selected, from "
            f"{pool.begin.isoformat()} to {pool.end.isoformat()}; α = {pool.spread.shape:.3g}, β = "
            f"{pool.spread.rate:.3g} in a year at liberty. "
            "Whoever is on record without an offence counts as having had none."
        )
    return Measure(
        key="before_after",
        title="Before, after, and expected if nothing worked",
        definition=(
            "Proven offences in the 12 months before and after the first selection, of everybody ever selected, "
            "the removed too, and t(α + x)/(β + t) for x events in time t at liberty, with α and β fitted to the "
            "whole local pool and not to the cohort (gamma-Poisson, maximum likelihood). Known 18 months after "
            "the selection. 95 % interval: bootstrap over people."
        ),
        figures=(
            *(
                estimated(
                    f"before_after.{key}", words, estimate, Unit.OFFENCES, rests_on=people, count=offences, people=who
                )
                for key, words, estimate, offences in rows
            ),
            estimated(
                "before_after.beyond", "After less expected", found.beyond, Unit.OFFENCES, rests_on=people, people=who
            ),
            counted(
                "before_after.not_yet",
                "Not yet known: selected less than 18 months ago",
                len(found.not_yet),
                people=_people(found.not_yet),
            ),
        ),
        drawings=(Drawing("Offences a person in 12 months", "offences", bars),) if people >= LEAST_DRAWN else (),
        not_known=f"{len(found.not_yet)} {_are(found.not_yet)} not yet known.",
        notes=tuple(notes),
    )


def _career(chosen: Sequence[Life], today: date) -> Measure:
    years = [year for year in median_career(chosen, today) if len(year.people) >= LEAST_DRAWN]
    unborn = [life for life in chosen if life.born is None]
    ages = [
        (life.chosen_on - life.born).days / 365.25
        for life in chosen
        if life.born is not None and life.chosen_on is not None
    ]
    points = tuple(Point(str(y.age), y.median, y.lower, y.upper) for y in years)
    middle = sorted(ages)[len(ages) // 2] if ages else None
    drawing = Drawing("Median of proven offences in a year of age, with quartiles", "offences", points=points)
    return Measure(
        key="career",
        title="Career",
        definition=(
            "Proven offences by year of age, as far as at least 30 people have lived it: the cohort's median and "
            "quartiles. A person's own curve, with the programme marked, stands on their page of this measure."
        ),
        figures=(
            told(
                "career.age",
                "Median age at the first selection",
                middle,
                Unit.COUNT,
                rests_on=len(ages),
                count=len(ages),
                people=_people(life for life in chosen if life.born is not None),
            ),
            *(
                told(
                    f"career.{y.age}",
                    "Offences at age",
                    y.median,
                    Unit.OFFENCES,
                    rests_on=len(y.people),
                    group=str(y.age),
                    low=y.lower,
                    high=y.upper,
                    count=y.offences,
                    people=y.people,
                )
                for y in years
            ),
        ),
        drawings=(drawing,) if points else (),
        not_known=f"{len(unborn)} {_are(unborn)} without a date of birth and not in the curve.",
    )


def _risk(again: Reoffending) -> Measure:
    found = risk_factors(again.follow_up.known)
    figures: list[Figure] = []
    for factor in found.factors:
        figures += _of_factor(factor)
    return Measure(
        key="risk",
        title="Risk factors",
        definition=(
            "For each need by pathway, as assessed by the index date: the share of reoffenders who have it, and "
            "the reoffending rate with and without it. 95 % intervals: Wilson; of the difference: Newcombe."
        ),
        figures=tuple(figures),
        not_known=f"{len(found.not_assessed)} {_are(found.not_assessed)} without an assessment of needs, and in no rate here.",
        notes=("A need that goes with reoffending is not by that its cause.",),
    )


def _of_factor(factor: RiskFactor) -> list[Figure]:
    name, key = str(factor.pathway), f"risk.{factor.pathway}"
    having, lacking = len(factor.having), len(factor.lacking)
    hits = [one for one in factor.having if one.reoffences]
    others = [one for one in factor.lacking if one.reoffences]
    return [
        shared(
            f"{key}.share",
            "Of reoffenders, have the need",
            factor.among_reoffenders,
            group=name,
            rests_on=len(hits) + len(others),
            people=_people(one.life for one in hits),
        ),
        shared(
            f"{key}.with",
            "Rate with it",
            factor.with_it,
            group=name,
            rests_on=having,
            people=_people(one.life for one in hits),
        ),
        shared(
            f"{key}.without",
            "Rate without it",
            factor.without,
            group=name,
            rests_on=lacking,
            people=_people(one.life for one in others),
        ),
        estimated(
            f"{key}.difference",
            "Difference",
            factor.difference,
            Unit.POINTS,
            group=name,
            rests_on=min(having, lacking),
            people=_people(one.life for one in (*factor.having, *factor.lacking)),
            least_cell=min(len(hits), having - len(hits), len(others), lacking - len(others)),
            times=100,
        ),
    ]


STEP_WORDS: Final = {
    "seen": "Alert raised to first acknowledged",
    "decided": "Alert raised to closed",
    "breach decided": "Finding to decision on a breach",
    "recalled": "Decision to recall",
    "arrested": "Recall to arrest",
}


def _process(facts: Facts, numbers: set[int]) -> Measure:
    since_ms = facts.known_ms - (facts.today - months_later(facts.today, -PROCESS_MONTHS)).days * 86_400_000
    figures: list[Figure] = []
    for key, words, dues in (
        ("tasks", "Tasks done on time", facts.tasks),
        ("reviews", "Reviews held on time", facts.reviews),
    ):
        theirs = on_time(
            [d for d in dues if d.due_ms >= since_ms and (d.person is None or d.person in numbers)], facts.known_ms
        )
        people = {one.person for one in theirs.judged if one.person is not None}
        late = {one.person for one in theirs.late if one.person is not None}
        figures.append(
            shared(
                f"process.{key}",
                words,
                theirs.share,
                rests_on=len(people),
                unknown=theirs.not_due,
                people=sorted(people),
            )
        )
        figures.append(
            counted(
                f"process.{key}.late", f"{words.split()[0]} late or overdue", len(theirs.late), people=sorted(late)
            )
        )
    for name, words in STEP_WORDS.items():
        steps = [s for s in facts.steps.get(name, ()) if s.begin_ms >= since_ms and s.person in numbers]
        found, people = hours_of(steps, facts.known_ms), {s.person for s in steps if s.person is not None}
        for part, value in (("half of them within", found.median), ("nine in ten within", found.p90)):
            figures.append(
                told(
                    f"process.{name}.{part.split()[0]}",
                    f"{words}: {part}",
                    value,
                    Unit.HOURS,
                    rests_on=len(people),
                    count=found.done,
                    of=found.done + found.open_,
                    unknown=found.open_,
                    people=sorted(people),
                )
            )
    return Measure(
        key="process",
        title="Process",
        definition=(
            "Of the last 12 months: tasks and reviews done by the day they were due, of those due or done (95 % "
            "interval: Wilson); and how long it takes from an alert to being seen and decided, and from a "
            "finding to the decision, recall and arrest: median and the time for nine in ten. What is open "
            "counts as open for as long as it is (Kaplan–Meier)."
        ),
        figures=tuple(figures),
        not_known="What is open and not yet due stands beside the shares. Where too much is open, the time cannot be told.",
    )


ANSWERS: Final = {Answer.YES: "yes", Answer.NO: "no", Answer.UNKNOWN: "not known"}


def _needs(chosen: Sequence[Life], facts: Facts) -> Measure:
    begin, end = facts.period
    figures, drawings, unknown = [], [], 0
    for one in settled(chosen, begin, end, facts.today):
        name = one.question.name
        counts = {answer: len(one.people[answer]) for answer in Answer}
        unknown += counts[Answer.UNKNOWN]
        known = counts[Answer.YES] + counts[Answer.NO]
        figures.append(
            shared(
                f"needs.{name}",
                name.capitalize(),
                one.known,
                rests_on=known,
                unknown=counts[Answer.UNKNOWN],
                people=one.people[Answer.YES],
            )
        )
        figures += [
            counted(
                f"needs.{name}.{answer}",
                f"{name.capitalize()}: {ANSWERS[answer]}",
                counts[answer],
                people=one.people[answer],
            )
            for answer in Answer
        ]
        asked = sum(counts.values())
        if asked >= LEAST_DRAWN:
            bars = tuple(Bar(ANSWERS[answer], 100 * counts[answer] / asked) for answer in Answer)
            drawings.append(Drawing(name.capitalize(), "% of people released", bars))
    return Measure(
        key="needs",
        title="Needs after a release",
        definition=(
            "People released in the period, by their first release: housed on the night of release and at 3 "
            "months, in work at 6 weeks and 6 months, in treatment within 3 weeks. Of those for whom it is "
            "known; 95 % interval: Wilson."
        ),
        figures=tuple(figures),
        drawings=tuple(drawings),
        not_known=f"{unknown} answers are not known: the record tells nothing of the kind. They are a bar of their own.",
    )


def _compliance(months: Sequence[Month]) -> Measure:
    names = sorted({one.month for one in months})[-PROCESS_MONTHS:]
    months = [one for one in months if one.month in names]
    figures: list[Figure] = []
    groups = [("everybody", list(months))] + [
        (cohort, [one for one in months if one.cohort == cohort]) for cohort in sorted({m.cohort for m in months})
    ]
    groups += [(name, [one for one in months if one.month == name]) for name in names]
    for group, theirs in groups:
        figures += _of_group(group, theirs)
    chart = p_chart(
        (name, sum(m.bad_nights for m in months if m.month == name), sum(m.nights for m in months if m.month == name))
        for name in names
    )
    points = tuple(
        Point(p.name, None if p.value is None else 100 * p.value, 100 * p.lower, 100 * p.upper, p.is_outside)
        for p in chart.points
    )
    enough = len({m.person for m in months}) >= LEAST_DRAWN and chart.centre is not None
    drawing = Drawing(
        "Curfew nights with a violation, by month (p-chart)",
        "% of nights",
        points=points,
        mark="outside of the limits",
        centre=None if chart.centre is None else 100 * chart.centre,
    )
    return Measure(
        key="compliance",
        title="Compliance",
        definition=(
            "Of the last 12 months: findings a wearer-week (median and quartiles over people); curfew hours kept "
            "of those that were obliged and known; nights with a curfew violation by month, with limits of three "
            "standard errors (p-chart)."
        ),
        figures=tuple(figures),
        drawings=(drawing,) if enough else (),
        not_known="Hours for which nobody could tell stand beside the hours kept, and are in neither part of the share.",
        notes=("Time not known is what findings say: unverified and silent times that are long enough to be one.",),
    )


def _of_group(group: str, months: Sequence[Month]) -> list[Figure]:
    found = kept(months)
    lower, middle, upper = found.per_week or (None, None, None)
    people, key = len(found.people), f"compliance.{group}"
    return [
        told(
            f"{key}.findings",
            "Findings a week under a tag",
            middle,
            Unit.FINDINGS,
            rests_on=people,
            group=group,
            low=lower,
            high=upper,
            count=found.findings,
            people=found.people,
        ),
        told(
            f"{key}.kept",
            "Curfew hours kept of those obliged and known",
            None if found.kept is None else 100 * found.kept,
            Unit.PERCENT,
            rests_on=people,
            group=group,
            of=round(found.obliged - found.untold),
            unknown=round(found.untold),
            people=found.people,
        ),
    ]


def _money(chosen: Sequence[Life], facts: Facts) -> Measure:
    begin = facts.today - timedelta(days=YEAR_DAYS)
    deeds = [(life, deed) for life in chosen for deed in life.proven_between(begin, facts.today)]
    people = sorted({life.person for life, _ in deeds})
    found = (
        None
        if facts.yearly_cost is None
        else break_even(facts.yearly_cost, [d.kind for _, d in deeds], facts.unit_costs)
    )
    low, high = (None, None) if found is None else found.crimes
    return Measure(
        key="money",
        title="Money",
        definition=(
            "Cost of 12 months of the programme divided by the mean unit cost of the local crime mix (proven "
            "offences of the last 12 months with a unit cost): the crimes that must be prevented. "
            f"{facts.unit_costs_of[:1].upper()}{facts.unit_costs_of[1:]}."
        ),
        figures=(
            told(
                "money.crimes",
                "Crimes that must be prevented in 12 months, from and to",
                low,
                Unit.CRIMES,
                rests_on=len(people),
                low=low,
                high=high,
                people=people,
                count=len(deeds),
            ),
            told(
                "money.cost",
                "Mean unit cost, from and to",
                None if found is None else found.mean_cost[0],
                Unit.POUNDS,
                rests_on=len(people),
                low=None if found is None else found.mean_cost[0],
                high=None if found is None else found.mean_cost[1],
                people=people,
                unknown=None if found is None else found.unpriced,
            ),
        ),
        not_known=(
            "Nobody has set what 12 months of the programme cost (yearly_cost in the settings of the programme)."
            if facts.yearly_cost is None
            else "No proven offence of the last 12 months has a unit cost."
            if found is None
            else f"{found.unpriced} offences of the mix have no unit cost and are left out."
        ),
        notes=("A prevented crime is not seen: this says how many it would take, not how many there were.",),
    )


def _fairness(chosen: Sequence[Life], facts: Facts) -> Measure:
    begin = months_later(facts.today, -PROCESS_MONTHS)
    cohort = [
        life
        for life in chosen
        if any(
            one.spell.begin < facts.today and (one.spell.end is None or one.spell.end > begin)
            for one in life.selected
        )
    ]
    rows = fairness(cohort, begin, facts.today)
    figures: list[Figure] = []
    for row in rows:
        group, key = f"{row.by}: {row.group}", f"fairness.{row.event}.{row.by}.{row.group}"
        others, hits, hit = len(cohort) - len(row.people), len(row.hit), 0 if row.others is None else row.others.hits
        figures.append(
            shared(
                f"{key}.share",
                f"{row.event.capitalize()}",
                row.share,
                group=group,
                rests_on=len(row.people),
                people=row.hit,
            )
        )
        figures.append(
            estimated(
                f"{key}.difference",
                f"{row.event.capitalize()}: difference from the others",
                row.difference,
                Unit.POINTS,
                group=group,
                rests_on=min(len(row.people), others),
                people=row.people,
                least_cell=min(hits, len(row.people) - hits, hit, others - hit),
                times=100,
            )
        )
    unsaid = {no for row in rows if row.group == NOT_SAID for no in row.people}
    return Measure(
        key="fairness",
        title="Fairness",
        definition=(
            "Of people who were in the programme in the last 12 months: the share for whom red was proposed, who "
            "were given red, were removed, and whose positions were looked at, by sex, age group and ethnicity "
            "as recorded, beside all others of the cohort. 95 % interval of the difference: Newcombe."
        ),
        figures=tuple(figures),
        not_known=f"{len(unsaid)} {_are(sorted(unsaid))} without sex, date of birth or ethnicity on record.",
        notes=("Sex and ethnicity are held for this table and the career graph, and for nothing else.",),
    )
