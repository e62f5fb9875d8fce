import Evaluation
import Reporting
import Testing

@Suite struct MarkdownReportTests {
  /// Rows of every table have as many cells as its head.
  static func tablesAreWhole(_ text: String) -> Bool {
    func cells(_ line: Substring) -> Int {
      var count = 0
      var isEscaped = false
      for character in line {
        if character == "|", !isEscaped { count += 1 }
        isEscaped = character == "\\" && !isEscaped
      }
      return count
    }
    let blocks = text.split(separator: "\n\n").map { $0.split(separator: "\n") }
    return blocks.allSatisfy { lines in
      guard let head = lines.first, head.hasPrefix("|") else { return true }
      return lines.count > 1 && lines[1].hasPrefix("| --") && Set(lines.map(cells)).count == 1
    }
  }

  @Test(arguments: Samples.all.indices)
  func tablesAreWhole(sample: Int) {
    let text = MarkdownReport.text(Samples.all[sample])
    #expect(Self.tablesAreWhole(text), "\(text)")
    #expect(text.hasSuffix("\n") && !text.contains("\n\n\n"))
  }

  @Test func stageSaysEverything() {
    let text = MarkdownReport.text(Samples.stage())
    for part in [
      "# books-7m: stage 1, int4", "| perplexity | 60.25 ± 0.42 |",
      "| mean KLD (nats) | 0.003106 ± 0.000018 |",
      "| ln(PPL / baseline PPL) | +0.0021 ± 0.0004 |", "| same top-1 | 95.30 ± 0.11 % |",
      "chunks of 512 tokens, stride 512; BOS replaces the first token of each chunk", "SHA-256 `ff00`",
      "llama.cpp's rule", "`blk.0.attn_q.weight`", "256 × 256", "0.00213", "odd\\|name", "rows of 172",
      "compress --int4 'my model.bin'", "**Warning:** a warning", "- a note", "Merkle root", "4 threads",
      "kernels: avx2", "governor performance",
    ] {
      #expect(text.contains(part), "\(part)")
    }
    #expect(!text.contains("2026"))
  }

  @Test func calibrationBudgetAndOutcomesAreSaid() {
    let text = MarkdownReport.text(Samples.calibratedStage)
    for part in [
      "## Budget", "| `max-kld` | ≤ 0.02 | 0.003100 | 0.003400 | yes |",
      "| `min-agreement` | ≥ 0.99 | 0.9530 | 0.9510 | **no** |",
      "| `max-ppl-increase` | ≤ 0.01 | 0.002000 | unknown | **no** |", "95 % confidence, over 32 blocks",
      "## Calibration",
      "| text | notes.txt |", "| observed | 28,672 tokens in 56 sequences |",
      "| vocabulary seen | 5,211 of 32,000 |",
      "12 of 9,000 (0.133 %)", "| method | held-out error | plain rounding's | blend |",
      "| gptq | 0.00123 | 0.00456 | 0.500 | ridge 1e-2 |", "| rtn | – | – | – | rows of 172 |",
      "| mean KLD, lower bound | 0.003090 |", "0.214 % of its probability, from a random sample",
    ] {
      #expect(text.contains(part), "\(part) in \(text)")
    }
    let plain = MarkdownReport.text(Samples.stage())
    #expect(
      !plain.contains("## Budget") && !plain.contains("## Calibration") && !plain.contains("held-out error"))
  }

  @Test func missingPartsAreSaid() {
    let text = MarkdownReport.text(Samples.bareStage)
    #expect(text.contains("Not evaluated: unknown architecture."))
    #expect(!text.contains("## Speed") && !text.contains("## Notes"))
  }

  @Test func runSummary() {
    let text = MarkdownReport.text(Samples.report([Samples.bareStage, Samples.stage()]))
    #expect(Self.tablesAreWhole(text), "\(text)")
    #expect(text.contains("| 0 baseline | 4.55 MB |") && text.contains("| 1 int4 | 4.55 MB |"))
    #expect(text.contains("Run of 2026-11-24T02:30:00Z, 12.5 s."))
    #expect(text.contains("**Warning** (int4): a warning"))
  }

  @Test func textCannotBecomeMarkup() {
    var stage = Samples.stage()
    stage.notes = ["<b>|`*x*`|</b>\nsecond line"]
    stage.tensors[0].name = "a`b|c"
    let text = MarkdownReport.text(stage)
    #expect(text.contains("- \\<b\\>\\|\\`\\*x\\*\\`\\|\\</b\\> second line"))
    #expect(Self.tablesAreWhole(text))
  }

  @Test func commandLinesAreQuotedForAShell() {
    var run = Samples.run
    run.command = ["compress", "it's", "", "a-b_c.d/e=f"]
    #expect(run.commandLine == "compress 'it'\\''s' '' a-b_c.d/e=f")
  }
}
