"""Folders of pretrained scGPT, from random weights: what is read is what torch's own modules compute with."""

import json
import os
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturbjax.errors import InputError
from perturbjax.models.scgpt.network import NUM_FLAGS
from perturbjax.models.scgpt.pretrained import read_pretrained

VOCABULARY = {'A1BG': 0, 'STAT1': 2, 'MYC': 1, '<pad>': 4, '<cls>': 5, 'GATA1': 3}
ARGUMENTS = {'embsize': 8, 'nheads': 2, 'd_hid': 6, 'nlayers': 2, 'dropout': 0.2, 'n_layers_cls': 3}


@pytest.fixture
def torch():
    return pytest.importorskip('torch', reason='needs torch: pip install perturbjax[torch]')


def theirs(torch):
    """Modules of torch whose weights have the names of scGPT's."""
    torch.manual_seed(0)
    nn = torch.nn
    layer = nn.TransformerEncoderLayer(8, 2, 6, 0.2, batch_first=True)
    modules = nn.ModuleDict(
        {
            'encoder': nn.ModuleDict({'embedding': nn.Embedding(6, 8), 'enc_norm': nn.LayerNorm(8)}),
            'value_encoder': nn.ModuleDict(
                {'linear1': nn.Linear(1, 8), 'linear2': nn.Linear(8, 8), 'norm': nn.LayerNorm(8)}
            ),
            'transformer_encoder': nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
            'decoder': nn.Linear(8, 1),
        }
    )
    for weight in modules.parameters():
        nn.init.normal_(weight, std=0.5)
    return modules.eval()


def folder_of(torch, path, state=None, flash=False, **changed):
    """The three files; a file that is changed to None is left out."""
    state = theirs(torch).state_dict() if state is None else state
    if flash:
        state = {name.replace('in_proj_', 'Wqkv.'): value for name, value in state.items()}
    torch.save(state, path / 'best_model.pt')
    files = {'vocab': VOCABULARY, 'args': ARGUMENTS} | changed
    for name, content in files.items():
        if content is not None:
            (path / f'{name}.json').write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def their_states(torch, modules, tokens, values):
    with torch.no_grad():
        value = modules['value_encoder']
        inner = torch.relu(value['linear1'](torch.tensor(values)[..., None].clamp(max=512)))
        genes = modules['encoder']['enc_norm'](modules['encoder']['embedding'](torch.tensor(tokens).long()))
        return modules['transformer_encoder'](genes + value['norm'](value['linear2'](inner))).numpy()


@pytest.mark.parametrize('flash', [False, True])
def test_the_states_are_those_of_torch(torch, tmp_path, flash):
    found = read_pretrained(folder_of(torch, tmp_path, flash=flash))
    assert (found.network.num_tokens, found.network.padding, found.network.dropout) == (6, 4, 0.2)
    tokens = found.tokens(['MYC', 'GATA1', 'A1BG', 'STAT1'])
    assert tokens.tolist() == [1, 3, 0, 2]
    values = np.array([[0.5, 0, 2, 600], [1, 3, 0, 0]], np.float32)
    silent = {'flag': {'table': jnp.zeros((NUM_FLAGS, 8))}}
    run = jax.jit(lambda weights: found.network.apply(weights, tokens, values, jnp.zeros((2, 4), int), method='states'))
    ours = run({'params': jax.tree.map(jnp.asarray, found.weights) | silent})
    np.testing.assert_allclose(ours, their_states(torch, theirs(torch), tokens, values), atol=1e-5)


def test_genes_that_are_missing_are_told_by_name(torch, tmp_path, caplog):
    found = read_pretrained(folder_of(torch, tmp_path))
    assert found.tokens(['MYC', 'XIST', 'STAT1']).tolist() == [1, 4, 2]
    found.tell_coverage(['MYC', 'XIST', 'STAT1'], 'norman')
    assert 'norman: the vocabulary of scGPT has 2 of 3 genes; the others get the token of padding' in caplog.text
    assert "'XIST'" in caplog.text
    with pytest.raises(InputError, match="norman: none of the 1 genes .'ENSG0001'. is in the vocabulary of scGPT"):
        found.tell_coverage(['ENSG0001'], 'norman')


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'vocab': None}, "it lacks 'vocab.json' of the pretrained scGPT; the folder .whole-human. .* links to has"),
        ({'vocab': None, 'args': None}, "it lacks 'vocab.json', 'args.json' of the"),
        ({'vocab': '{'}, r'vocab.json: it cannot be read as JSON \('),
        ({'vocab': []}, 'vocab.json: expected names and values in braces, found list'),
        ({'vocab': VOCABULARY | {'MYC': 9}}, 'vocab.json: expected the 6 names to have the numbers from 0 on, each'),
        ({'vocab': {'MYC': 0}}, "vocab.json: it lacks '<pad>', the token of padding"),
        ({'vocab': VOCABULARY | {'TP53': 6}}, r'encoder.embedding.weight is of shape \(6, 8\), and .* say \(7, 8\)'),
        ({'args': {}}, "args.json: expected whole numbers of at least 1, found {'embsize': None"),
        ({'args': ARGUMENTS | {'nheads': 3}}, 'args.json: embsize 8 is no multiple of nheads 3'),
        ({'args': ARGUMENTS | {'dropout': 1}}, 'args.json: dropout 1 must be a number of at least 0 and below 1'),
        ({'args': ARGUMENTS | {'d_hid': 7}}, r'layers.0.linear1.weight is of shape \(6, 8\), and .* say \(7, 8\)'),
        ({'args': ARGUMENTS | {'nlayers': 3}}, "it lacks 'transformer_encoder.layers.2.* of 3 blocks"),
        ({'args': ARGUMENTS | {'nlayers': 1}}, "it has unknown weights 'transformer_encoder.layers.1"),
        ({'args': ARGUMENTS | {'nlayers': 10**9}}, 'args.json says 1000000000 blocks, and it has 33 weights'),
    ],
)
def test_files_that_do_not_fit_are_told(torch, tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        read_pretrained(folder_of(torch, tmp_path, **changed))


@pytest.mark.parametrize(
    ('state', 'message'),
    [
        ([1.0], 'expected the names of weights with their tensors, found list'),
        ({'model': {}}, 'args.json says 2 blocks, and it has 0 weights'),
    ],
)
def test_weights_of_another_kind_are_told(torch, tmp_path, state, message):
    with pytest.raises(InputError, match=f'best_model.pt: .*{message}'):
        read_pretrained(folder_of(torch, tmp_path, state))


class _Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_file_is_refused_and_does_not_run(torch, tmp_path):
    harmed = tmp_path / 'harmed'
    with pytest.raises(InputError, match='reading it would run posix.mkdir; it was not run'):
        read_pretrained(folder_of(torch, tmp_path, {'encoder.x': _Harm(str(harmed))}))
    assert not harmed.exists()


def test_without_torch_the_mend_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch', None)
    for name, content in (('vocab.json', VOCABULARY), ('args.json', ARGUMENTS), ('best_model.pt', '')):
        pathlib.Path(tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(InputError, match=r'scgpt: its checkpoints need torch; pip install perturbjax\[torch\]'):
        read_pretrained(str(tmp_path))
