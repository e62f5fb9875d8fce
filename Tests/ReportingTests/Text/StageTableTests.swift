import Evaluation
import Reporting
import Testing

@Suite struct StageTableTests {
  static var stages: [StageReport] {
    var baseline = Samples.stage(
      index: 0, name: "baseline", evaluation: .language(Samples.metrics(nil), method: Samples.method))
    baseline.size.packedBytes = 14_000_000
    return [baseline, Samples.stage()]
  }

  @Test func wideTerminalHasOneTable() {
    let text = StageTable(Self.stages).text(width: 240)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(
      lines[0].hasPrefix("stage") && lines[0].contains("perplexity") && lines[0].hasSuffix("peak memory"))
    #expect(lines[2].hasPrefix("0 baseline") && lines[3].hasPrefix("1 int4"))
    for figure in [
      "4.55 MB", "4.55 (4.60)", "3.07×", "60.25 ± 0.42", "0.003106 ± 0.000018", "0.0019 / 0.015 / 0.041",
      "95.30 ± 0.11", "5000 (4000)", "909 (625)", "23.4 ms", "52.0 MB",
    ] {
      #expect(lines[3].contains(figure), "\(figure)")
    }
    #expect(lines[2].contains(" – "))
    #expect(text.contains("– baseline: the other stages are compared with it.\n"))
    #expect(text.contains("context 512, 510 tokens scored (second half of each chunk)"))
  }

  @Test(arguments: [100, 80, 60, 40])
  func narrowTerminalsAreRespected(width: Int) {
    let text = StageTable(Self.stages).text(width: width)
    let tables = text.split(separator: "\n").prefix { !$0.hasPrefix("bits/weight:") }
    #expect(tables.allSatisfy { $0.count <= width }, "\(text)")
    // Nothing is lost: every figure is in one of the tables.
    for figure in ["4.55 MB", "0.003106 ± 0.000018", "95.30 ± 0.11", "909 (625)", "52.0 MB"] {
      #expect(text.contains(figure), "\(figure)")
    }
    #expect(text.components("stage ") >= 2)
  }

  @Test func columnsAreAligned() {
    let lines = StageTable(Self.stages).text(width: 240).split(separator: "\n")
    // Right-aligned columns end where their rule ends.
    #expect(Set(lines.prefix(4).map(\.count)).count == 1)
  }

  @Test func unmeasuredColumnsAreLeftOut() {
    let text = StageTable([Samples.bareStage]).text(width: 100)
    #expect(!text.contains("perplexity") && !text.contains("tok/s") && text.contains("4.55 MB"))
  }

  @Test func encoderColumns() {
    let text = StageTable([Samples.encoderStage]).text(width: 200)
    #expect(text.contains("0.99912 ± 0.00002") && text.contains("0.867 ± 0.008") && text.contains("0.9912"))
    #expect(text.contains("-0.0007 ± 0.0003") && !text.contains("perplexity") && !text.contains("decode"))
  }
}

extension String {
  /// How many times `part` is in it.
  fileprivate func components(_ part: String) -> Int {
    var count = 0
    var rest = self[...]
    while let range = rest.firstRange(of: part) {
      count += 1
      rest = rest[range.upperBound...]
    }
    return count
  }
}
