"""The callbacks in the training loops that they are for."""

import numpy as np
import pytest
import torch
from torch import nn

from runs import analyse, manifest
from test_torch_recorder import faults_are_failures, one_thread  # noqa: F401
from training import batches, is_finished_without_losses, loss_of, rows, steps, tiny, values

transformers = pytest.importorskip("transformers")


def language_model():
    """A GPT-2 of two layers with random weights."""
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=31, n_positions=16)
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(config)


class Sentences(torch.utils.data.Dataset):
    """Thirty-two random sequences."""

    def __init__(self):
        self.tokens = torch.randint(0, 31, (32, 12), generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, index):
        return {"input_ids": self.tokens[index], "labels": self.tokens[index]}


def trainer(folder, run, callback=None, **options):
    from epsiloscope.callbacks.transformers import EpsiloscopeCallback

    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "output"),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        logging_steps=2,
        save_steps=4,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **options,
    )
    return transformers.Trainer(
        model=language_model(),
        args=arguments,
        train_dataset=Sentences(),
        callbacks=[callback or EpsiloscopeCallback(run, labels={"task": "random"})],
    )


def test_the_trainer_of_transformers(tmp_path):
    run = tmp_path / "run"
    trainer(tmp_path, run, num_train_epochs=2).train()
    found = manifest(run)
    assert is_finished_without_losses(run) and found["totals"]["steps"] == 8
    assert found["optimizer"]["name"] == "adamw" and found["gradient"]["accumulated_batches"] == 2
    assert found["gradient"]["clipped"] is True
    names = [tensor["name"] for tensor in found["tensors"]]
    assert "transformer.wte.weight" in names or "lm_head.weight" in names
    of_steps = steps(run)
    assert [row["epoch"] for row in of_steps.values()] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert of_steps[2]["loss"] > 0 and of_steps[1]["loss"] is None
    snapshots = {row["step"] for row in rows(run, "tensors", "critical_epsilon.adam")}
    assert snapshots == {4, 8}
    assert {row["optimizer"] for row in analyse("estimate", run)} >= {"adam"}


def test_a_resumed_trainer_goes_on_in_its_run(tmp_path):
    run = tmp_path / "run"
    trainer(tmp_path, run, max_steps=6).train()
    trainer(tmp_path, run, max_steps=8).train(resume_from_checkpoint=str(tmp_path / "output" / "checkpoint-4"))
    assert list(steps(run)) == list(range(1, 9))
    assert [each["after_step"] for each in manifest(run)["resumed"]] == [4]


def module_of_lightning():
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = tiny()

        def training_step(self, batch, index):
            return loss_of(self.net, batch)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    return Module()


def fit(folder, callback, **options):
    import lightning.pytorch as lightning

    trainer = lightning.Trainer(
        callbacks=[callback],
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"enable_checkpointing": False, **options},
    )
    module = module_of_lightning()
    torch.manual_seed(0)
    loader = torch.utils.data.DataLoader(Batches(), batch_size=None)
    return trainer, module, loader


class Batches(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return batches(6)[index]


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_trainer_of_lightning(tmp_path):
    from epsiloscope.callbacks.lightning import EpsiloscopeCallback

    run = tmp_path / "run"
    callback = EpsiloscopeCallback(run, magnitudes="all")
    trainer, module, loader = fit(tmp_path, callback, max_epochs=2, accumulate_grad_batches=2, gradient_clip_val=0.1)
    trainer.fit(module, loader)
    found = manifest(run)
    assert is_finished_without_losses(run) and found["totals"]["steps"] == 6
    assert found["gradient"] == {
        "accumulated_batches": 2, "unscaled": False, "clipped": True, "coupled_weight_decay": 0.0,
    }
    of_steps = steps(run)
    assert [row["epoch"] for row in of_steps.values()] == [1, 1, 1, 2, 2, 2]
    assert all(row["loss"] > 0 for row in of_steps.values())
    # What is recorded of a step was clipped to a norm of 0.1.
    norms = [sum(np.square(numbers).sum() for (s, _), (_, numbers) in values(run).items() if s == step) for step in of_steps]
    assert np.sqrt(norms) == pytest.approx([0.1] * 6, rel=1e-4)
    snapshots = {row["step"] for row in rows(run, "tensors", "critical_epsilon.adam")}
    assert snapshots == {3, 6}


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_checkpoint_of_lightning_resumes_the_run(tmp_path):
    from lightning.pytorch.callbacks import ModelCheckpoint

    from epsiloscope.callbacks.lightning import EpsiloscopeCallback

    run = tmp_path / "run"
    trainer, module, loader = fit(tmp_path, EpsiloscopeCallback(run), max_epochs=2)
    trainer.fit(module, loader)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    path = str(tmp_path / "every.ckpt")
    first = EpsiloscopeCallback(tmp_path / "other")
    trainer, module, loader = fit(tmp_path, first, max_epochs=1)
    saver = ModelCheckpoint(dirpath=tmp_path, filename="every", every_n_train_steps=6)
    trainer, module, loader = fit(tmp_path, first, max_epochs=1, enable_checkpointing=True)
    trainer.callbacks.append(saver)
    trainer.fit(module, loader)
    trainer, module, loader = fit(tmp_path, EpsiloscopeCallback(tmp_path / "other"), max_epochs=2)
    trainer.fit(module, loader, ckpt_path=path, weights_only=False)
    assert list(steps(tmp_path / "other")) == list(range(1, 13))
    assert [each["after_step"] for each in manifest(tmp_path / "other")["resumed"]] == [6]


def test_a_loop_with_accelerate(tmp_path):
    accelerate = pytest.importorskip("accelerate")

    from epsiloscope.callbacks.accelerate import record

    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=3)
    model = tiny()
    optimizer = torch.optim.AdamW(model.parameters())
    model, optimizer = accelerator.prepare(model, optimizer)
    expected = []
    with record(accelerator, model, optimizer, tmp_path / "run", magnitudes="all") as recorder:
        for index, batch in enumerate(batches(6)):
            with accelerator.accumulate(model):
                loss = loss_of(model, batch)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    expected.append({name: p.grad.clone() for name, p in model.named_parameters()})
                    recorder.log(loss=loss)
                optimizer.step()
                optimizer.zero_grad()
    assert manifest(tmp_path / "run")["gradient"]["accumulated_batches"] == 3
    found = values(tmp_path / "run")
    assert {step for step, _ in found} == {1, 2}
    for step, of in enumerate(expected, 1):
        for name, gradient in of.items():
            np.testing.assert_array_equal(found[step, name][1], gradient.numpy().ravel())
