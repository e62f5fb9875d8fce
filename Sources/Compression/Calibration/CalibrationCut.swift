/// Documents of tokens cut into sequences, thinned out evenly, and divided.
package enum CalibrationCut {
  /// The fewest tokens of a single sequence whose end can be held out.
  private static let shortestDivided = 32

  /// Each document cut into sequences of at most `context` tokens, each begun with `bos` where there is one. No token is
  /// dropped: the last sequence of a document may be short.
  ///
  /// - Precondition: `context` > 1.
  package static func sequences(of documents: [[Int]], context: Int, bos: Int?) -> [[Int]] {
    precondition(context > 1, "a sequence needs room beside its first token")
    let head = bos.map { [$0] } ?? []
    return documents.flatMap { document in
      stride(from: 0, to: document.count, by: context - head.count).map { start in
        head + document[start..<min(document.count, start + context - head.count)]
      }
    }
  }

  /// At most `limit` tokens' worth of `sequences`, one from each of as many equal parts of all of them. Which are taken goes
  /// by place, not by length, so that short ones are neither preferred nor avoided; the place in its part moves by the golden
  /// ratio, so that nothing periodic in the text is always or never hit.
  ///
  /// - Precondition: no sequence is longer than `limit`.
  package static func spread(_ sequences: [[Int]], limit: Int) -> [[Int]] {
    let total = sequences.reduce(0) { $0 + $1.count }
    guard total > limit else { return sequences }
    var count = max(1, sequences.count * limit / total)
    while true {
      let part = Double(sequences.count) / Double(count)
      let chosen = (0..<count).map { index in
        let place = (Double(index + 1) * 0.618_033_988_749_894_9).truncatingRemainder(dividingBy: 1)
        return sequences[min(sequences.count - 1, Int((Double(index) + place) * part))]
      }
      let sum = chosen.reduce(0) { $0 + $1.count }
      if sum <= limit || count == 1 { return chosen }
      count = max(1, min(count - 1, count * limit / sum))
    }
  }

  /// Every n-th sequence held out, so that about `share` of them are; at least one, where there are two. Of a single one,
  /// long enough, the end is held out.
  package static func divide(
    _ sequences: [[Int]], share: Double, bos: Int?
  ) -> (observed: [[Int]], heldOut: [[Int]]) {
    guard share > 0, let first = sequences.first else { return (sequences, []) }
    if sequences.count == 1 {
      guard first.count >= shortestDivided else { return (sequences, []) }
      let cut = first.count - max(8, Int(Double(first.count) * share))
      return ([Array(first[..<cut])], [(bos.map { [$0] } ?? []) + first[cut...]])
    }
    let count = min(sequences.count - 1, max(1, Int((Double(sequences.count) * share).rounded())))
    let places = Set((0..<count).map { ($0 * 2 + 1) * sequences.count / (2 * count) })
    return (
      sequences.indices.filter { !places.contains($0) }.map { sequences[$0] },
      places.sorted().map { sequences[$0] }
    )
  }
}
