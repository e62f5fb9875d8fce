internal import Evaluation

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

  /// At most `limit` tokens' worth of `sequences`, spread evenly over all of them.
  ///
  /// - Precondition: no sequence is longer than `limit`.
  package static func spread(_ sequences: [[Int]], limit: Int) -> [[Int]] {
    EvenSpread.places(of: sequences.map(\.count), limit: limit).map { sequences[$0] }
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
