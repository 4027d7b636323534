"""What a model comes from, and what it took, as rows that a person reads."""

from loopline.contracts import EvaluationReport, PackagedModel

Row = tuple[str, str | int]


def duration(seconds: float) -> str:
    """Write a time as a person would say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def lineage(report: EvaluationReport) -> list[Row]:
    """Return what the model was made of and held against."""
    model = report.model
    dataset = model.dataset
    values = ", ".join(f"{name} {value}" for name, value in report.decoding.values.items())
    rows: list[Row] = [
        ("Problem", dataset.problem),
        ("Dataset", dataset.name),
        ("Lines", ", ".join(f"{count:,} {split}" for split, count in dataset.split_sizes.items())),
        ("Characters", len(dataset.vocabulary)),
        ("Images", dataset.labeled.raw.source),
        ("Labels", dataset.labeled.label_project or ""),
        ("Seed", model.seed),
        ("Epochs", model.epochs),
        ("Search", model.study.name if model.study else "none"),
        ("Decoding", f"{report.decoding.name} ({values})" if values else report.decoding.name),
        ("Baseline", report.baseline_name),
        ("Champion", report.champion.version if report.champion else "none yet"),
    ]
    return [row for row in rows if row[1] != ""]


def spent(report: EvaluationReport) -> list[Row]:
    """Return the time and money that training and the search before it took."""
    model = report.model
    rows: list[Row] = [("Training", duration(model.train_seconds)), ("Device", model.device)]
    if model.study:
        rows.append(("Search, all workers", duration(model.study.busy_seconds)))
    if model.cost:
        rows.append(("Cost, in your currency", f"{model.cost:,.2f}"))
    return rows


def digests(packaged: PackagedModel) -> list[tuple[str, str]]:
    """Return the sha256 of everything that counts, and where the dataset is in git."""
    report = packaged.report
    model = report.model
    return [
        ("Package", packaged.archive.sha256),
        ("Network (ONNX)", packaged.onnx.sha256),
        ("Judgement", report.digest),
        ("Model", model.digest),
        ("Weights", model.checkpoint.sha256),
        ("Dataset", model.dataset.digest),
        ("Dataset's manifest", model.dataset.manifest.sha256),
        ("Dataset's git revision", model.dataset.git_revision),
    ]
