import Compression
import Testing

/// Cutting, thinning out and dividing, on numbers that stand for tokens.
@Suite("Calibration: cutting")
struct CalibrationCutTests {
  @Test("every token of every document is in one sequence, behind BOS", arguments: [nil, 99])
  func sequences(bos: Int?) {
    for length in [1, 2, 3, 7, 8, 9, 20] {
      let documents = [Array(0..<length), [], [7], Array(100..<100 + 3 * length)]
      let sequences = CalibrationCut.sequences(of: documents, context: 8, bos: bos)
      #expect(sequences.allSatisfy { !$0.isEmpty && $0.count <= 8 })
      if let bos { #expect(sequences.allSatisfy { $0.first == bos && $0.count > 1 }) }
      let text = sequences.flatMap { $0.dropFirst(bos == nil ? 0 : 1) }
      #expect(text == documents.flatMap { $0 })
    }
  }

  @Test("what is taken of a long text is spread over all of it, and no more than asked for")
  func spread() {
    let sequences = (0..<1000).map { [Int](repeating: $0, count: 64) }
    for limit in [64, 128, 1000, 6400, 63_999] {
      let chosen = CalibrationCut.spread(sequences, limit: limit)
      #expect(chosen.count == limit / 64)
      let places = chosen.map { $0[0] }
      #expect(places == places.sorted() && Set(places).count == places.count)
      // No gap is wider than twice the even one.
      let gaps = zip([0] + places, places + [999]).map { $1 - $0 }
      #expect((gaps.max() ?? 0) <= 2 * (1000 / chosen.count + 1))
    }
    #expect(CalibrationCut.spread(sequences, limit: 64_000) == sequences)
  }

  @Test("short sequences are taken as often as long ones")
  func lengths() {
    var sequences: [[Int]] = []
    for place in 0..<3000 { sequences.append([Int](repeating: place, count: place * 7 % 10 < 5 ? 10 : 100)) }
    let chosen = CalibrationCut.spread(sequences, limit: 16_500)
    #expect(chosen.reduce(0) { $0 + $1.count } <= 16_500)
    #expect(chosen.reduce(0) { $0 + $1.count } > 14_000)
    let short = chosen.count { $0.count == 10 }
    #expect(abs(Double(short) / Double(chosen.count) - 0.5) < 0.05)
  }

  @Test("whole sequences are held out, evenly, and none is in both parts")
  func divide() {
    for count in [2, 3, 7, 8, 9, 64, 1001] {
      let sequences = (0..<count).map { [$0, $0] }
      let (observed, heldOut) = CalibrationCut.divide(sequences, share: 0.125, bos: nil)
      #expect(!heldOut.isEmpty && !observed.isEmpty)
      #expect((observed + heldOut).sorted { $0[0] < $1[0] } == sequences)
      #expect(abs(heldOut.count - max(1, Int((Double(count) / 8).rounded()))) <= 0)
    }
    #expect(CalibrationCut.divide([[1], [2]], share: 0, bos: nil).heldOut.isEmpty)
  }

  @Test("the end of a single sequence is held out, if there is enough of it")
  func single() {
    let (observed, heldOut) = CalibrationCut.divide([[9] + Array(0..<63)], share: 0.125, bos: 9)
    #expect(observed == [[9] + Array(0..<55)])
    #expect(heldOut == [[9] + Array(55..<63)])
    #expect(CalibrationCut.divide([[1, 2, 3]], share: 0.5, bos: nil).heldOut.isEmpty)
    #expect(CalibrationCut.divide([], share: 0.5, bos: nil).observed.isEmpty)
  }
}
