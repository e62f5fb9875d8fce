import Compression
import Passes
import Testing

/// Runs of words, against the definition: sets of strings.
@Suite("Calibration: overlap")
struct WordRunsTests {
  private static func text(_ words: [String]) -> [UInt8] { Array(words.joined(separator: " ").utf8) }

  private static func naive(_ evaluation: [[String]], _ calibration: [[String]]) -> (runs: Int, shared: Int) {
    func runs(_ words: [String]) -> [String] {
      guard words.count > 13 else { return words.isEmpty ? [] : [words.joined(separator: " ")] }
      return (0...words.count - 13).map { words[$0..<$0 + 13].joined(separator: " ") }
    }
    let known = Set(calibration.flatMap(runs))
    let all = evaluation.flatMap(runs)
    return (all.count, all.count { known.contains($0) })
  }

  @Test("the counts are those of sets of strings")
  func naive() {
    let long = (0..<200).map { "w\($0 * $0 % 31)" }
    let other = (0..<300).map { "w\($0 * 7 % 29)" }
    let cases: [([[String]], [[String]])] = [
      ([long], [long]), ([long], [other]), ([long], [Array(long[50..<90])]),
      ([long, other], [Array(other[..<40])]),
      ([["a", "short", "one"]], [["a", "short", "one"], []]), ([["a"]], [["a", "b"]]), ([[]], [[]]),
      ([long], []),
      ([Array(long[..<13])], [long]),
    ]
    for (evaluation, calibration) in cases {
      let (runs, shared) = Self.naive(evaluation, calibration)
      let overlap = WordRuns.overlap(of: evaluation.map(Self.text), in: calibration.map(Self.text))
      #expect(overlap.runs == runs && overlap.shared == shared)
      #expect(overlap.words == 13)
    }
  }

  @Test("case, punctuation and line breaks do not hide a copy")
  func disguise() {
    let plain = "the quick brown fox jumps over the lazy dog and then it sleeps for a long while"
    let other = "The quick, brown fox\njumps -- over the LAZY dog; and then it sleeps for a long while!"
    #expect(WordRuns.overlap(of: [Array(plain.utf8)], in: [Array(other.utf8)]).share == 1)
  }

  @Test("ideographs are words of their own")
  func ideographs() {
    let text = "我们今天去公园看花明天再去山上走一走"
    let overlap = WordRuns.overlap(of: [Array(text.utf8)], in: [Array(text.dropFirst(3).utf8)])
    #expect(overlap.runs == text.count - 12)
    #expect(overlap.shared == overlap.runs - 3)
  }

  @Test("few runs may share more by chance than many, and a copy is none")
  func allowance() {
    #expect(abs(WordRuns.allowance(0.01, runs: 1_000_000) - 0.01) < 0.002)
    let few = WordRuns.allowance(0.01, runs: 300)
    #expect(few > 0.05 && few < 0.1)
    #expect(WordRuns.allowance(0.01, runs: 30) < 0.25)
  }
}
