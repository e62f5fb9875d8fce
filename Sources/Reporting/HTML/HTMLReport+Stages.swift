import Evaluation

extension HTMLReport {
  /// A column of the table of stages.
  private struct Column: Sendable {
    var head: String
    var cell: @Sendable (ShownStage) -> String?
  }

  /// What a stage is worth, in one row.
  private static let summary: [Column] = [
    Column(head: "packed") { Cited.bytes("\($0.path).size.packedBytes", $0.stage.size.packedBytes) },
    Column(head: "bits / weight") {
      Cited.fixed("\($0.path).size.packedBitsPerWeight", $0.stage.size.packedBitsPerWeight, 2)
    },
    Column(head: "smaller") { shown in
      shown.stage.size.ratioToBaseline.map {
        Cited.fixed("\(shown.path).size.ratioToBaseline", $0, 2, unit: "×")
      }
    },
    Column(head: "perplexity") { shown in
      shown.stage.language.map { Cited.estimate("\(shown.metrics).perplexity", $0.perplexity, atLeast: 4) }
    },
    divergence("change, %") {
      Cited.estimate("\($1).perplexityChange", $0.perplexityChange, digits: 3, scale: 100, signed: true)
    },
    divergence("mean KLD") { Cited.estimate("\($1).mean", $0.mean, digits: 3) },
    divergence("same top, %") { Cited.estimate("\($1).sameTop", $0.sameTop, digits: 4, scale: 100) },
    Column(head: "cosine") { shown in
      shown.stage.encoder?.similarity.map {
        Cited.estimate("\(shown.metrics).similarity.mean", $0.mean, digits: 6)
      }
    },
    Column(head: "Spearman") { shown in
      shown.stage.encoder?.correlation.map {
        Cited.estimate("\(shown.metrics).correlation.spearman", $0.spearman)
      }
    },
    Column(head: "decode tok/s") { shown in
      shown.stage.latency?.decode.map { Cited.rate("\(shown.path).latency.decode.tokensPerSecond", $0.rate) }
    },
    Column(head: "prefill tok/s") { shown in
      // Encoders have nothing else.
      shown.stage.encoder == nil
        ? nil
        : shown.stage.latency.map {
          Cited.rate("\(shown.path).latency.prefill.tokensPerSecond", $0.prefill.rate)
        }
    },
  ]

  private static func divergence(_ head: String, _ cell: @escaping @Sendable (Divergence, String) -> String)
    -> Column
  {
    Column(head: head) { shown in shown.stage.divergence.map { cell($0, "\(shown.metrics).divergence") } }
  }

  /// What the means hide.
  private static let quality: [Column] = [
    Column(head: "stored bits / weight") {
      Cited.fixed("\($0.path).size.decodedBitsPerWeight", $0.stage.size.decodedBitsPerWeight, 2)
    },
    divergence("KLD, median") { Cited.significant("\($1).median", $0.median, 2) },
    divergence("99 %") { Cited.significant("\($1).percentile99", $0.percentile99, 2) },
    divergence("99.9 %") { Cited.significant("\($1).percentile999", $0.percentile999, 2) },
    divergence("largest") { Cited.significant("\($1).maximum", $0.maximum, 2) },
    divergence("RMS Δp, %") {
      Cited.estimate("\($1).deltaProbability", $0.deltaProbability, digits: 3, scale: 100)
    },
    Column(head: "right tokens, %") { shown in
      shown.stage.tokens.map {
        Cited.estimate("\(shown.path).tokens.accuracy", $0.accuracy, digits: 4, scale: 100)
      }
    },
    Column(head: "least cosine") { shown in
      shown.stage.encoder?.similarity.map {
        Cited.significant("\(shown.metrics).similarity.minimum", $0.minimum, 4)
      }
    },
    Column(head: "change of Spearman") { shown in
      shown.stage.encoder?.correlation?.spearmanChange.map {
        Cited.estimate("\(shown.metrics).correlation.spearmanChange", $0, signed: true)
      }
    },
  ]

  private static let speed: [Column] = [
    Column(head: "prefill tok/s") { shown in
      shown.stage.latency.map { Cited.rate("\(shown.path).latency.prefill.tokensPerSecond", $0.prefill.rate) }
    },
    Column(head: "decode tok/s") { shown in
      shown.stage.latency?.decode.map { Cited.rate("\(shown.path).latency.decode.tokensPerSecond", $0.rate) }
    },
    Column(head: "at p95") { shown in
      shown.stage.latency?.decode.map {
        Cited.rate("\(shown.path).latency.decode.tokensPerSecond95", $0.slowRate)
      }
    },
    Column(head: "first token") { shown in
      shown.stage.latency?.timeToFirstToken.map {
        Cited.seconds("\(shown.path).latency.timeToFirstToken", $0)
      }
    },
    Column(head: "cold") { shown in
      shown.stage.latency?.coldFirstToken.map {
        Cited.seconds("\(shown.path).latency.coldFirstToken", $0)
      }
    },
    Column(head: "of bandwidth, %") { shown in
      shown.stage.latency?.readFraction.map {
        Cited.number(
          "\(shown.path).latency.readFraction", $0, NumberFormat.fixed($0 * 100, 0))
      }
    },
    Column(head: "J a token") { shown in
      shown.stage.latency?.energyPerToken.map {
        Cited.significant("\(shown.path).latency.energyPerToken", $0)
      }
    },
    Column(head: "memory") { shown in
      shown.stage.latency?.peakMemory.map { Cited.bytes("\(shown.path).latency.peakMemory", $0) }
    },
  ]

  /// All stages, a row each; columns that none has a figure for are left out.
  static func stageTable(_ shown: [ShownStage], failure: StageFailure? = nil) -> String {
    var text = stageRows(summary, shown, failure)
    text += Markup.paragraph(
      "<span class=\"note\">± is one standard error over chunks of text. Bits a weight are of the packed file, vocabulary "
        + "and metadata counted; “stored” are those of its tensors unpacked.</span>")
    for stage in shown {
      if case .none(let reason) = stage.stage.evaluation {
        text += Markup.paragraph(
          "<span class=\"note\">\(Markup.escape(stage.label)): not evaluated: \(Markup.escape(reason)).</span>"
        )
      }
    }
    text += Markup.details("Tails and details", stageRows(quality, shown))
    let timed = shown.filter { $0.stage.latency != nil }
    return timed.isEmpty
      ? text
      : text
        + Markup.details("Speed and memory", stageRows(speed, timed) + threadRows(timed) + zeroRows(timed))
  }

  /// A row for each stage and number of threads; nothing where all were timed with one number.
  private static func threadRows(_ shown: [ShownStage]) -> String {
    guard shown.contains(where: { !($0.stage.latency?.sweep.isEmpty ?? true) }) else { return "" }
    let hasFraction = shown.contains { stage in
      stage.stage.latency.map { latency in latency.sweep.contains { latency.readFraction(of: $0) != nil } }
        ?? false
    }
    let hasDecode = shown.contains { $0.stage.latency?.decode != nil }
    let rows = shown.flatMap { stage -> [[String]] in
      guard let latency = stage.stage.latency else { return [] }
      return latency.byThreads.map { speed in
        let other = latency.sweep.firstIndex { $0.threads == speed.threads }
        let path = "\(stage.path).latency" + (other.map { ".sweep[\($0)]" } ?? "")
        return [
          Markup.escape(stage.label), Cited.number("\(path).threads", speed.threads, String(speed.threads)),
          Cited.rate("\(path).prefill.tokensPerSecond", speed.prefill.rate),
        ]
          + (hasDecode
            ? [
              Cited.rate("\(path).decode.tokensPerSecond", speed.decode?.rate),
              Cited.rate("\(path).decode.tokensPerSecond95", speed.decode?.slowRate),
            ] : [])
          + (hasFraction
            ? [
              latency.readFraction(of: speed).map {
                Cited.number("\(path).readFraction", $0, NumberFormat.fixed($0 * 100, 0))
              } ?? "–"
            ] : [])
      }
    }
    return Markup.table(
      heads: ["stage", "threads", "prefill tok/s"] + (hasDecode ? ["decode tok/s", "at p95"] : [])
        + (hasFraction ? ["of bandwidth, %"] : []), rows: rows, right: [1, 2, 3, 4, 5])
  }

  /// A row a stage; columns that none has a figure for are left out.
  private static func stageRows(
    _ columns: [Column], _ shown: [ShownStage], _ failure: StageFailure? = nil
  ) -> String {
    let used = columns.filter { column in shown.contains { column.cell($0) != nil } }
    var rows = shown.map { stage in [Markup.escape(stage.label)] + used.map { $0.cell(stage) ?? "–" } }
    if let failure {
      rows.append(
        [
          Markup.escape("\(failure.index) \(failure.name)") + " <span class=\"v worse\">failed</span>"
        ] + used.map { _ in "–" })
    }
    return Markup.table(
      heads: ["stage"] + used.map(\.head), rows: rows, right: Set(1...max(1, used.count)))
  }
}
