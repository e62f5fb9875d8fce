public import Evaluation

/// One figure of a stage, as tables show it.
struct StageColumn {
  /// The head, in terminals and in Markdown.
  var head: String
  /// The group that it stays with when a table is split.
  var group: Group
  /// The cell; nil when the figure was not measured.
  var cell: @Sendable (StageReport) -> String?

  /// What the figure is about.
  enum Group { case size, quality, speed }
}

extension StageColumn {
  /// The columns in reading order; those that no stage has a figure for are left out by the tables.
  static let all: [StageColumn] = size + language + encoder + speed

  private static let size: [StageColumn] = [
    StageColumn(head: "size", group: .size) { NumberFormat.bytes($0.size.packedBytes) },
    StageColumn(head: "bits/weight", group: .size) {
      NumberFormat.fixed($0.size.packedBitsPerWeight, 2)
        + " (\(NumberFormat.fixed($0.size.decodedBitsPerWeight, 2)))"
    },
    StageColumn(head: "ratio", group: .size) { stage in
      stage.size.ratioToBaseline.map { NumberFormat.fixed($0, 2) + "×" }
    },
  ]

  private static let language: [StageColumn] = [
    StageColumn(head: "perplexity", group: .quality) { stage in
      stage.language.map { NumberFormat.estimate($0.perplexity, atLeast: 4) }
    },
    StageColumn(head: "change %", group: .quality) { stage in
      stage.divergence.map { NumberFormat.signedEstimate($0.perplexityChange, digits: 3, scale: 100) }
    },
    StageColumn(head: "mean KLD", group: .quality) { stage in
      stage.divergence.map { NumberFormat.estimate($0.mean, digits: 3) }
    },
    StageColumn(head: "median / 99 % / 99.9 %", group: .quality) { stage in
      stage.divergence.map { divergence in
        [divergence.median, divergence.percentile99, divergence.percentile999]
          .map { NumberFormat.significant($0, 2) }.joined(separator: " / ")
      }
    },
    StageColumn(head: "same top-1 %", group: .quality) { stage in
      stage.divergence.map { NumberFormat.estimate($0.sameTop, digits: 4, scale: 100) }
    },
  ]

  private static let encoder: [StageColumn] = [
    StageColumn(head: "cosine mean", group: .quality) { stage in
      stage.encoder?.similarity.map { NumberFormat.estimate($0.mean, digits: 6) }
    },
    StageColumn(head: "cosine min", group: .quality) { stage in
      stage.encoder?.similarity.map { NumberFormat.significant($0.minimum, 4) }
    },
    StageColumn(head: "Spearman", group: .quality) { stage in
      stage.encoder?.correlation.map { NumberFormat.estimate($0.spearman) }
    },
    StageColumn(head: "change", group: .quality) { stage in
      stage.encoder?.correlation?.spearmanChange.map { NumberFormat.signedEstimate($0) }
    },
  ]

  private static let speed: [StageColumn] = [
    StageColumn(head: "prefill tok/s (p95)", group: .speed) { stage in stage.latency.map { rate($0.prefill) }
    },
    StageColumn(head: "decode tok/s (p95)", group: .speed) { stage in
      stage.latency?.decode.map { rate($0) }
    },
    StageColumn(head: "first token", group: .speed) { stage in
      stage.latency?.timeToFirstToken.map { NumberFormat.seconds($0) }
    },
    StageColumn(head: "peak memory", group: .speed) { stage in
      stage.latency?.peakMemory.map { NumberFormat.bytes($0) }
    },
  ]

  private static func rate(_ speed: LatencyMetrics.Speed) -> String {
    "\(NumberFormat.rate(speed.rate)) (\(NumberFormat.rate(speed.slowRate)))"
  }
}

extension EvaluationReport {
  /// The metrics of a language model, if those were taken.
  public var language: LanguageMetrics? { if case .language(let metrics, _) = self { metrics } else { nil } }

  /// The metrics of an encoder, if those were taken.
  public var encoder: EncoderMetrics? { if case .encoder(let metrics, _) = self { metrics } else { nil } }
}

extension StageReport {
  /// The metrics of a language model, if those were taken.
  public var language: LanguageMetrics? { evaluation.language }

  /// The divergence from the baseline, if there was one to compare with.
  public var divergence: Divergence? { language?.divergence }

  /// The metrics of an encoder, if those were taken.
  public var encoder: EncoderMetrics? { evaluation.encoder }
}
