import Evaluation

/// Reports as Markdown that GitHub renders.
public enum MarkdownReport {
  /// The text of a stage's `report.md`.
  public static func text(_ stage: StageReport) -> String {
    var page = Page()
    page.heading(1, "\(stage.run.model): stage \(stage.index), \(stage.name)")
    page.paragraph(escape(stage.pass))
    for warning in stage.warnings { page.paragraph("> **Warning:** \(escape(warning))") }
    page.heading(2, "Size")
    page.table(["", ""], rows: sizeRows(stage), right: [1])
    page.heading(2, "Quality")
    qualityTable(stage, &page)
    page.paragraph(Methodology.full(stage))
    budgetSection(stage.budget, &page)
    frontierSection(stage.frontier, &page)
    calibrationSection(stage.calibration, &page)
    if let latency = stage.latency {
      page.heading(2, "Speed")
      speedTable(latency, &page)
      page.paragraph(machineLine(stage.run, threads: latency.threads))
      page.paragraph(Methodology.speed)
    }
    if !stage.notes.isEmpty {
      page.heading(2, "Notes")
      page.list(stage.notes.map(escape))
    }
    page.heading(2, "Tensors")
    formatTable(stage, &page)
    tensorTable(stage, &page)
    reproduction(stage.run, artifact: stage.artifact, &page)
    return page.text
  }

  /// The text of a run's `report.md`.
  public static func text(_ report: RunReport) -> String {
    var page = Page()
    page.heading(1, "\(report.run.model): \(report.recipeName)")
    let columns = StageColumn.all.filter { column in report.stages.contains { column.cell($0) != nil } }
    page.table(
      ["stage"] + columns.map(\.head),
      rows: report.stages.map { stage in
        [escape("\(stage.index) \(stage.name)")] + columns.map { $0.cell(stage) ?? "–" }
      }, right: Set(1...max(1, columns.count)))
    page.paragraph(
      "Bits/weight: of the packed artifact (of the stored tensors). tok/s: median (p95 of time).")
    if let stage = report.stages.last { page.paragraph(Methodology.full(stage)) }
    for stage in report.stages {
      for warning in stage.warnings { page.paragraph("> **Warning** (\(stage.name)): \(escape(warning))") }
    }
    if let failure = report.failure {
      page.paragraph(
        "> **Stage \(failure.index), \(escape(failure.name)), failed:** \(escape(failure.message))")
    }
    verdictSection(report.comparisons, report.stages.map { "\($0.index) \($0.name)" }, &page)
    budgetSection(report.stages.last?.budget, &page)
    frontierSection(report.stages.last?.frontier, &page)
    if !report.notes.isEmpty {
      page.heading(2, "Notes")
      page.list(report.notes.map(escape))
    }
    page.heading(2, "Files")
    page.table(
      ["stage", "artifact", "bytes", "SHA-256"],
      rows: report.stages.map {
        [
          escape("\($0.index) \($0.name)"), code($0.artifact.file), NumberFormat.grouped($0.size.packedBytes),
          code($0.artifact.sha256),
        ]
      }, right: [2])
    reproduction(report.run, artifact: nil, &page)
    page.paragraph("Run of \(report.date), \(NumberFormat.seconds(report.seconds)).")
    return page.text
  }

  // MARK: Sections

  private static func sizeRows(_ stage: StageReport) -> [[String]] {
    let size = stage.size
    var rows = [
      ["artifact \(code(stage.artifact.file))", size.packedBytes],
      ["unpacked \(stage.artifact.container)", size.decodedBytes], ["tensors", size.tensorBytes],
      ["source files", size.sourceBytes],
    ].map { row in
      row.map { cell in
        (cell as? Int).map { "\(NumberFormat.grouped($0)) B (\(NumberFormat.bytes($0)))" } ?? "\(cell)"
      }
    }
    rows.append(["weights", NumberFormat.grouped(size.parameters)])
    rows.append(["bits/weight, artifact", NumberFormat.fixed(size.packedBitsPerWeight, 3)])
    rows.append(["bits/weight, tensors", NumberFormat.fixed(size.decodedBitsPerWeight, 3)])
    if let ratio = size.ratioToBaseline {
      rows.append(["smaller than stage 0", NumberFormat.fixed(ratio, 2) + "×"])
    }
    if let ratio = size.ratioToSource {
      rows.append(["smaller than the source", NumberFormat.fixed(ratio, 2) + "×"])
    }
    return rows
  }

  private static func qualityTable(_ stage: StageReport, _ page: inout Page) {
    let rows = qualityRows(stage.evaluation)
    if !rows.isEmpty { page.table(["", ""], rows: rows, right: [1]) }
  }

  /// What was measured, a row each: name and value.
  static func qualityRows(_ evaluation: EvaluationReport) -> [[String]] {
    var rows: [[String]] = []
    if let metrics = evaluation.language {
      rows.append(["perplexity", NumberFormat.estimate(metrics.perplexity, atLeast: 4)])
      rows.append(["loss (nats/token)", NumberFormat.estimate(metrics.loss)])
    }
    if let divergence = evaluation.language?.divergence { rows += divergenceRows(divergence) }
    if let similarity = evaluation.encoder?.similarity {
      rows.append(["cosine to the baseline, mean", NumberFormat.estimate(similarity.mean, digits: 6)])
      rows.append(["cosine, 1 %", NumberFormat.significant(similarity.percentile1, 6)])
      rows.append(["cosine, minimum", NumberFormat.significant(similarity.minimum, 6)])
    }
    if let correlation = evaluation.encoder?.correlation {
      rows.append(["Spearman", NumberFormat.estimate(correlation.spearman)])
      rows.append(["Pearson", NumberFormat.estimate(correlation.pearson)])
      if let baseline = correlation.baselineSpearman {
        rows.append(["Spearman of the baseline", NumberFormat.estimate(baseline)])
      }
      if let change = correlation.spearmanChange {
        rows.append(["change of Spearman", NumberFormat.signedEstimate(change)])
      }
    }
    return rows
  }

  private static func divergenceRows(_ divergence: Divergence) -> [[String]] {
    [
      ["perplexity of the baseline", NumberFormat.estimate(divergence.baselinePerplexity, atLeast: 4)],
      [
        "change of perplexity",
        NumberFormat.signedEstimate(divergence.perplexityChange, digits: 3, scale: 100) + " %",
      ],
      ["ln(PPL / baseline PPL)", NumberFormat.signedEstimate(divergence.logRatio)],
      ["mean KLD (nats)", NumberFormat.estimate(divergence.mean, digits: 3)],
      ["KLD, median", NumberFormat.significant(divergence.median, 3)],
      ["KLD, 99 %", NumberFormat.significant(divergence.percentile99, 3)],
      ["KLD, 99.9 %", NumberFormat.significant(divergence.percentile999, 3)],
      ["KLD, maximum", NumberFormat.significant(divergence.maximum, 3)],
      ["same top-1", NumberFormat.estimate(divergence.sameTop, digits: 4, scale: 100) + " %"],
      [
        "RMS Δp of the true token",
        NumberFormat.estimate(divergence.deltaProbability, digits: 3, scale: 100) + " %",
      ],
    ] + tailRows(divergence)
  }

  private static func tailRows(_ divergence: Divergence) -> [[String]] {
    divergence.approximation.map {
      [
        ["mean KLD, lower bound", NumberFormat.significant($0.lowerBound, 4)],
        [
          "probability of the tokens that were sampled",
          NumberFormat.significant($0.tailMass * 100, 3) + " %",
        ],
      ]
    } ?? []
  }

  private static func speedTable(_ latency: LatencyMetrics, _ page: inout Page) {
    func row(_ name: String, _ speed: LatencyMetrics.Speed, threads: Int) -> [String] {
      [
        "\(name) (\(NumberFormat.grouped(speed.tokens)) tokens)", String(threads),
        NumberFormat.rate(speed.rate),
        NumberFormat.rate(speed.slowRate), NumberFormat.seconds(speed.median),
        NumberFormat.seconds(speed.deviation),
        NumberFormat.seconds(speed.percentile95), String(speed.runs),
      ]
    }
    let rows = latency.byThreads.flatMap { speed in
      [row("prefill", speed.prefill, threads: speed.threads)]
        + (speed.decode.map { [row("decode", $0, threads: speed.threads)] } ?? [])
    }
    page.table(
      ["", "threads", "tok/s", "tok/s at p95", "time/token", "MAD", "p95", "runs"], rows: rows,
      right: Set(1...7))
    var facts: [String] = []
    if let time = latency.timeToFirstToken {
      facts.append(
        "Time to first token from the packed artifact, warm page cache: \(NumberFormat.seconds(time)).")
    }
    if let time = latency.coldFirstToken {
      facts.append("With the file out of memory before: \(NumberFormat.seconds(time)).")
    }
    if let bytes = latency.bytesPerToken {
      facts.append("Weights read for a token: \(NumberFormat.bytes(bytes)).")
    }
    for speed in latency.byThreads {
      guard let fraction = latency.readFraction(of: speed), let most = speed.readBandwidth else { continue }
      facts.append(
        "With \(speed.threads) thread\(speed.threads == 1 ? "" : "s") decoding reads at "
          + "\(NumberFormat.fixed(fraction * 100, 0)) % of the \(NumberFormat.rate(most * 1e-9)) GB/s that can be read."
      )
    }
    if let sentence = WholeRowsText.sentence(latency) { facts.append(sentence) }
    if let joules = latency.energyPerToken {
      facts.append("Energy of a decoded token: \(NumberFormat.significant(joules, 3)) J.")
    }
    if let memory = latency.peakMemory {
      let scope = latency.isPeakOfStage ? "of this stage's measurement" : "of the process so far"
      facts.append("Peak resident memory \(scope): \(NumberFormat.bytes(memory)).")
    }
    if !facts.isEmpty { page.paragraph(facts.joined(separator: " ")) }
  }

  private static func machineLine(_ run: RunContext, threads: Int) -> String {
    let machine = run.machine
    var parts = [
      "\(escape(machine.processor)), \(machine.processors) processors", "kernels: \(machine.instructionSet)",
      "\(threads) thread\(threads == 1 ? "" : "s")",
    ]
    if let memory = machine.memory { parts.append(NumberFormat.bytes(memory) + " memory") }
    if let governor = machine.governor { parts.append("governor \(governor)") }
    if !machine.features.isEmpty { parts.append(escape(machine.features.joined(separator: " "))) }
    parts.append(escape(machine.system))
    return "Machine: " + parts.joined(separator: "; ") + "."
  }

  private static func formatTable(_ stage: StageReport, _ page: inout Page) {
    var totals: [String: (tensors: Int, weights: Int, bytes: Int)] = [:]
    for tensor in stage.tensors {
      let weights = tensor.shape.reduce(1, *)
      let old = totals[tensor.format] ?? (0, 0, 0)
      totals[tensor.format] = (old.tensors + 1, old.weights + weights, old.bytes + tensor.bytes)
    }
    let rows = totals.sorted { ($0.value.bytes, $1.key) > ($1.value.bytes, $0.key) }.map { format, total in
      [
        code(format), String(total.tensors), NumberFormat.grouped(total.weights),
        NumberFormat.grouped(total.bytes),
      ]
    }
    page.table(["format", "tensors", "weights", "bytes"], rows: rows, right: [1, 2, 3])
  }

  private static func reproduction(_ run: RunContext, artifact: ArtifactReport?, _ page: inout Page) {
    page.heading(2, "Reproduction")
    page.codeBlock(run.commandLine)
    var rows = [
      ["compress", run.toolVersion], ["threads", String(run.threads)], ["seed", String(run.seed)],
    ]
    rows += run.source.sorted { $0.key < $1.key }.map { ["source \(code($0.key))", code($0.value)] }
    if let artifact {
      rows.append(["artifact SHA-256", code(artifact.sha256)])
      rows.append(["Merkle root of the tensors", code(artifact.merkleRoot)])
    }
    page.table(["", ""], rows: rows, right: [])
  }

  // MARK: Escaping

  /// Text that Markdown and its tables leave alone.
  static func escape(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "|", "*", "_", "`", "<", ">", "\\", "[", "]": result += "\\\(character)"
      case _ where character.isNewline: result += " "
      default: result.append(character)
      }
    }
    return result
  }

  /// Text as code; a name with a backtick in it stays plain, since no escape works inside code.
  static func code(_ text: String) -> String {
    guard !text.contains("`"), !text.contains(where: \.isNewline) else { return escape(text) }
    return "`" + text.replacing("|", with: "\\|") + "`"
  }
}
