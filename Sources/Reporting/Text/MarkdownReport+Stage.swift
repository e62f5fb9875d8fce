import Passes

/// The parts of a stage's page that not every stage has.
extension MarkdownReport {
  /// The limits of the budget, a row each.
  static func budgetSection(_ verdict: BudgetVerdict?, _ page: inout Page) {
    guard let verdict else { return }
    page.heading(2, "Budget")
    page.table(
      ["", "limit", "measured", "bound", "holds"],
      rows: verdict.checks.map { check in
        [
          code(check.name),
          "\(check.name.hasPrefix("min") ? "≥" : "≤") \(check.limit)",
          NumberFormat.significant(check.measured, 4),
          check.bound.map { NumberFormat.significant($0, 4) } ?? "unknown", check.holds ? "yes" : "**no**",
        ]
      }, right: [1, 2, 3])
    page.paragraph(
      "Bounds are one-sided, of \(NumberFormat.fixed(verdict.confidence * 100, 0)) % confidence, over "
        + "\(NumberFormat.grouped(verdict.blocks)) blocks of evaluation text.")
  }

  /// Whether pruning was worth it.
  static func frontierSection(_ verdict: FrontierVerdict?, _ page: inout Page) {
    guard let verdict, !verdict.comparisons.isEmpty else { return }
    page.heading(2, "Pruning against quantizing harder")
    func time(_ seconds: Double?) -> String { seconds.map { NumberFormat.seconds($0) } ?? "–" }
    var rows = [
      [
        "pruned (this model)", NumberFormat.bytes(verdict.packedBytes), time(verdict.secondsPerToken),
        NumberFormat.estimate(verdict.divergence), "", "",
      ]
    ]
    rows += verdict.comparisons.map { comparison in
      [
        "only quantized, equal \(comparison.basis.rawValue): \(escape(comparison.alternative))",
        NumberFormat.bytes(comparison.packedBytes), time(comparison.secondsPerToken),
        NumberFormat.estimate(comparison.divergence),
        comparison.interval.map {
          "\(NumberFormat.significant($0.lowerBound, 3)) … \(NumberFormat.significant($0.upperBound, 3))"
        } ?? "unknown",
        comparison.outcome == .tie ? "tie" : "pruning **\(comparison.outcome.rawValue)**",
      ]
    }
    page.table(
      ["", "artifact", "a token", "KL divergence (nats)", "difference", ""], rows: rows, right: [1, 2, 3, 4])
    page.paragraph(
      "Difference: the pruned model's divergence less the other's, paired over chunks of text, as a "
        + "\(NumberFormat.fixed(FrontierVerdict.confidence * 100, 0)) % confidence interval. Below zero pruning is worth it."
    )
  }

  /// What the pass observed the model on.
  static func calibrationSection(_ summary: CalibrationSummary?, _ page: inout Page) {
    guard let summary else { return }
    func percent(_ share: Double) -> String { NumberFormat.significant(share * 100, 3) + " %" }
    func count(_ tokens: Int, _ sequences: Int) -> String {
      "\(NumberFormat.grouped(tokens)) tokens in \(NumberFormat.grouped(sequences)) sequences"
    }
    page.heading(2, "Calibration")
    var rows = [
      ["text", escape(summary.name)], ["SHA-256", code(summary.sha256)],
      ["tokens of the text", NumberFormat.grouped(summary.textTokens)],
      ["observed", count(summary.tokens, summary.sequences)],
      ["held out", count(summary.heldOutTokens, summary.heldOutSequences)],
      ["tokens a sequence, at most", NumberFormat.grouped(summary.context)],
      [
        "vocabulary seen",
        "\(NumberFormat.grouped(summary.distinctTokens)) of \(NumberFormat.grouped(summary.vocabulary))",
      ],
    ]
    if let coverage = summary.evaluationCoverage {
      rows.append(["evaluation tokens whose type was seen", percent(coverage)])
    }
    if let overlap = summary.overlap {
      rows.append([
        "runs of \(overlap.words) words of the evaluation text that are in it",
        "\(NumberFormat.grouped(overlap.shared)) of \(NumberFormat.grouped(overlap.runs)) (\(percent(overlap.share)))",
      ])
    }
    page.table(["", ""], rows: rows, right: [])
  }

  /// Every tensor; how it was rounded where there was a choice.
  static func tensorTable(_ stage: StageReport, _ page: inout Page) {
    let hasOutcomes = stage.tensors.contains { $0.outcome != nil }
    func number(_ value: Double?) -> String { value.map { NumberFormat.significant($0, 3) } ?? "–" }
    page.paragraph("<details><summary>Every tensor</summary>")
    page.table(
      ["tensor", "role", "shape", "format", "bytes", "relative squared error"]
        + (hasOutcomes ? ["method", "held-out error", "plain rounding's", "blend"] : []) + ["note"],
      rows: stage.tensors.map { tensor in
        let notes = [tensor.note, tensor.outcome?.note].compactMap { $0 }.joined(separator: "; ")
        return [
          code(tensor.name), escape(tensor.role), tensor.shape.map(String.init).joined(separator: " × "),
          code(tensor.format), NumberFormat.grouped(tensor.bytes), number(tensor.relativeSquaredError),
        ]
          + (hasOutcomes
            ? [
              escape(tensor.outcome?.method ?? "–"), number(tensor.outcome?.heldOutError),
              number(tensor.outcome?.plainError), number(tensor.outcome?.blend),
            ] : []) + [escape(notes)]
      }, right: hasOutcomes ? [4, 5, 7, 8, 9] : [4, 5])
    if hasOutcomes {
      page.paragraph(
        "Held-out error: E‖Wx − Qx′‖² / E‖Wx‖² on calibration sequences that nothing was observed on, x′ being the "
          + "compressed model's inputs.")
    }
    page.paragraph("</details>")
  }
}
