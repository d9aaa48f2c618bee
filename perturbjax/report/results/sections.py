"""The sections of the report: each is a list of elements, empty if there is nothing to say."""

from xml.etree.ElementTree import Element

from perturbjax.evaluation.results import Results
from perturbjax.evaluation.scores import BASELINE
from perturbjax.evaluation.statistics import LEAST_CLUSTERS
from perturbjax.evaluation.summary import NEARLY_ALL
from perturbjax.report.components import beside, gallery
from perturbjax.report.elements import tag
from perturbjax.report.results.examples import EXAMPLES, MOST_READOUTS, changes, judged
from perturbjax.report.results.figures import MOST_RATIO, anchored, calibration, collapse, forest, strip
from perturbjax.report.results.lines import interaction_curve, linear_sweep_curve, readout_curve, training_curve
from perturbjax.report.results.tables import (
    calibration_table,
    difference_tables,
    plain_table,
    published_table,
    score_tables,
)

# Single profiles are drawn for at most this many models.
_MOST_SHOWN = 3
_STRIPS = ('l2', 'pearson_delta')


def scores(results: Results) -> list[Element]:
    """The tables of scores, and how to read them."""
    legend = (
        'In brackets: 95% bootstrap interval over (context, perturbation); n is how many there are. Coverage: the '
        'share of the measured held-out values that the model predicts. ★ and bold: the best value among the models '
        f'that predict at least {NEARLY_ALL:.0%} of them; where intervals overlap, it may be so by chance. '
    )
    if results.calibration['calibrated'].notna().any():
        legend += (
            'Grey: on these data the metric cannot tell a repeated measurement from an uninformative prediction, so '
            'its differences say little.'
        )
    caption = (
        'How far each model gets from the mean of the training perturbations in the context (0) to a repeat of the '
        'experiment, the other half of the rows (1), or to a perfect prediction where nothing has replicates; with its '
        '95% interval. Further right is better, and below 0 a model does harm. Hollow: simple rules and controls. '
        'summary.csv has this for every metric that tells the two ends apart.'
    )
    figures = gallery('anchored', [(anchored(results), caption)])
    return [*figures, _hint(), *score_tables(results.summary, results.calibration), tag('p', legend)]


def comparison(results: Results) -> list[Element]:
    """The models next to the best simple rule, and everything next to `mean`."""
    tables = difference_tables(results.summary, results.calibration)
    legend = (
        'Each model minus the simple rule that does best in the metric, over the same profiles and readouts, with '
        'the 95% interval; × is the ratio of the two where lower is better. p: paired Wilcoxon test over '
        'perturbations, corrected by Holm for the number of models. A model is called better or worse if the '
        'interval does not include 0 and p is below 0.05; everything else is unclear.'
    )
    caption = (
        f'Error as a ratio to that of the {BASELINE} rule (broken line at 1), with its 95% interval. Further left is '
        'better; an interval that crosses the line is no clear difference. Hollow: simple rules and controls. '
        f'An arrow: above {MOST_RATIO:g}.'
    )
    figures = gallery('forest', [(forest(results), caption)])
    return [*([tag('p', legend), _hint()] if tables else []), beside(tables, figures)] if tables or figures else []


def published(results: Results) -> list[Element]:
    """The published scores of other methods beside those of the run, over the same perturbations."""
    if results.published is None:
        return []
    return [_hint(), published_table(results.published.table), *(tag('p', note) for note in results.published.notes)]


def controls(results: Results) -> list[Element]:
    """Whether the metrics could show a difference on these data."""
    if results.calibration.empty:
        reason = results.calibration_unknown or 'it was not measured'
        sentence = (
            f'Calibration is not known: {reason}. Whether the metrics could tell a good prediction from an '
            'uninformative one on these data stays open.'
        )
        return [tag('p', sentence)]
    repeated = int(results.calibration['duplicates'].max())
    legend = (
        'A metric is worth reading only where it tells a repeated measurement (technical duplicate) from a '
        'prediction that knows nothing of the perturbation (uninformative: the mean of the training perturbations in '
        'the context). DRF, the dynamic range fraction, is how far the duplicate comes from uninformative (0) '
        'towards perfect (1); BDS, bound discrimination, is the share of perturbations in which the duplicate beats '
        'it. A metric is calibrated here where the interval of its DRF lies above 0 and BDS is above 0.5. Permuted: '
        'the truth of another perturbation. Interpolated duplicate: the duplicate in readouts that respond, the mean '
        f'in the others. This rests on {repeated:,} pairs of context and perturbation with replicates; with fewer than '
        f'{LEAST_CLUSTERS} it counts as not known.'
    )
    caption = (
        'How far the technical duplicate comes from an uninformative prediction (broken line at 0) towards a perfect '
        'one (dotted line at 1), with its 95% interval. Filled: calibrated here. Diamond: the interpolated duplicate. '
        'A model cannot be expected to come much further than the duplicate.'
    )
    figures = gallery('calibration', [(calibration(results), caption)])
    return [tag('p', legend), _hint(), beside([calibration_table(results.calibration)], figures)]


def profiles(results: Results) -> list[Element]:
    """One dot per held-out profile."""
    caption = (
        'Each dot is one held-out profile, the bar their median. Bold and blue: models; grey: simple rules and '
        'controls. Look for a long tail: a few perturbations that go badly wrong. Arrow: beyond the axis.'
    )
    shown = [metric for metric in _STRIPS if metric in set(results.summary['metric'])]
    return gallery('strip', [(strip(results, metric=metric), f'{metric}. {caption}') for metric in shown])


def predicted(results: Results) -> list[Element]:
    """Single profiles of the models to be judged."""
    models = judged(results)
    parts = []
    for position, model in enumerate(models[:_MOST_SHOWN]):
        drawn = [(changes(results, model=model, which=which), f'{model}: {_EXAMPLES[which]}') for which in EXAMPLES]
        shown = gallery(f'changes-{position}', drawn, 'figures three')
        parts += [tag('h3', model), *shown] if shown else []
    legend = (
        f'Every dot is a readout (at most {MOST_READOUTS}, spread over all observed changes). On the broken line the '
        f'prediction is right; dots along the horizontal are changes that it misses. Profiles are ordered by their l2 '
        f'as a ratio to that of the {BASELINE} rule.'
    )
    left = f' {", ".join(models[_MOST_SHOWN:])}: report.changes draws them.' if models[_MOST_SHOWN:] else ''
    return [tag('p', legend + left), *parts] if parts else []


_EXAMPLES = {
    'best': 'the profile that it predicts best.',
    'median': 'the profile in the middle.',
    'worst': 'the profile that it predicts worst.',
}


def readouts(results: Results) -> list[Element]:
    """Curves over the number of readouts."""
    ranked = {'control': 'the n readouts highest in control', 'delta': 'the n readouts whose true change is largest'}
    how = {
        'l2': 'Lower is better; it grows with n, so compare models at one n.',
        'pearson_delta': 'Higher is better.',
    }
    drawn = [
        (readout_curve(results, metric=metric, ranking=ranking), f'{metric} over {ranked[ranking]}. {said}')
        for metric, said in how.items()
        for ranking in ranked
    ]
    figures = gallery('readouts', drawn)
    legend = f'Means over profiles, of the models that predict at least {NEARLY_ALL:.0%} of the values.'
    return [tag('p', legend), *figures] if figures else []


def alike(results: Results) -> list[Element]:
    """The check for collapsed predictions, and how to read it."""
    models = results.collapse[results.collapse['model'] != 'truth']
    models = models.rename(columns={'correlation': 'predictions', 'truth': 'truths'})
    legend = (
        'Mean correlation between the changes from control of two different perturbations. A model far above '
        'the truths (over the same pairs and readouts) predicts nearly the same for every perturbation; -: no two of '
        'its changes can be compared, for example because it predicts no change at all.'
    )
    caption = 'Dot: the predictions. Bar: the truths; a good model lies near it.'
    return [tag('p', legend), beside([plain_table(models)], gallery('collapse', [(collapse(results), caption)]))]


def genetic_interactions(results: Results) -> list[Element]:
    """Which interactions were called, and which models predict them."""
    doubles = results.doubles
    if doubles is None:
        return []
    notes = [tag('p', note) for note in doubles.notes]
    if doubles.nulls.empty:
        return notes
    ranking = doubles.ranking.groupby(['model', 'screen'], sort=False)[['auprc', 'auroc']].mean().reset_index()
    legend = (
        'Observed minus additive, called against the empirical null at a local false discovery rate of 5%; a misfit '
        'far above 1 says that the null does not describe the values. Models are ranked by how far they depart from '
        'the additive prediction (mean over splits): AUPRC by chance is the share called, AUROC by chance 0.5.'
    )
    caption = (
        'The share of the called interactions that a model has found among those it ranks highest, against the share '
        'of false ones among these (mean over splits). Further up and left is better; chance is the broken line.'
    )
    drawn = [
        (interaction_curve(results, screen=str(screen)), f'{screen}. {caption}')
        for screen in doubles.curves['screen'].unique()
    ]
    figures = gallery('interactions', drawn)
    return [tag('p', legend), plain_table(doubles.nulls), *notes, beside([plain_table(ranking)], figures)]


def intervals(results: Results) -> list[Element]:
    """How often the intervals of the models with a spread hold the truth."""
    if results.interval_coverage.empty:
        return []
    legend = (
        'The share of the held-out values that lie in prediction ± z × spread, where z is the quantile of the normal '
        'distribution for the level. A share below the level says that the spread is too small, a share above it that '
        'it is too large. Low and high: 95% bootstrap interval over (context, perturbation).'
    )
    return [tag('p', legend), plain_table(results.interval_coverage)]


def training(results: Results) -> list[Element]:
    """The training curve."""
    caption = (
        'Errors while training, mean over splits. Validation that rises while training falls is overfitting. The '
        'L2 out of fold is that of whole profiles, in units of what the model learns; the epoch where it is lowest is '
        'kept.'
    )
    return gallery('training', [(training_curve(results), caption)])


def linear_sweep(results: Results) -> list[Element]:
    """The error of the linear model by rank and ridge."""
    caption = f'Mean over splits; below the broken line the linear model beats the {BASELINE} rule.'
    return gallery('linear-sweep', [(linear_sweep_curve(results), caption)])


def _hint() -> Element:
    return tag('small', 'Wide tables scroll sideways.', class_='narrow')
