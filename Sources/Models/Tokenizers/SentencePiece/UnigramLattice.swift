/// The best segmentation under a unigram language model (Kudo 2018), by the Viterbi recursion over byte positions that
/// SentencePiece calls the optimized encoder.
///
/// The sums are kept in 32 bits as SentencePiece does, or in 64 as Hugging Face's tokenizers do: ties fall differently.
struct UnigramLattice: Sendable {
  /// Which library's arithmetic is followed.
  enum Arithmetic: Sendable { case sentencePiece, huggingFace }

  private let trie: ByteTrie
  private let scores: [Double]
  private let unknownScore: Double
  private let unknown: Int
  private let arithmetic: Arithmetic
  /// What an unknown character costs more than the worst piece.
  private static let unknownPenalty = 10.0

  /// A lattice over `pieces`. `scores` are those of the file; user-defined pieces get SentencePiece's bonus instead.
  init(pieces: [Piece], scores fileScores: [Double], unknown: Int, arithmetic: Arithmetic) {
    self.unknown = unknown
    self.arithmetic = arithmetic
    var trie = ByteTrie(capacity: pieces.count * 4)
    var scores = fileScores
    var (lowest, highest) = (Double.infinity, -Double.infinity)
    for (id, piece) in pieces.enumerated() {
      switch arithmetic {
      case .huggingFace:
        trie.insert(piece.bytes, value: id)
        lowest = min(lowest, scores[id])
      case .sentencePiece:
        if piece.type == .normal {
          lowest = min(lowest, scores[id])
          highest = max(highest, scores[id])
        }
        // An unused piece is in SentencePiece's trie but never chosen: leaving it out is the same.
        if piece.type == .normal || piece.type == .userDefined { trie.insert(piece.bytes, value: id) }
      }
    }
    if arithmetic == .sentencePiece {
      // Without normal pieces SentencePiece starts from the limits of `float`.
      if lowest > highest {
        (lowest, highest) = (Double(Float.greatestFiniteMagnitude), Double(Float.leastNormalMagnitude))
      }
      for (id, piece) in pieces.enumerated() where piece.type == .userDefined {
        scores[id] = Double(Float(Double(Float(piece.bytes.count) * Float(highest)) - 0.1))
      }
      unknownScore = Double(Float(lowest) - Float(UnigramLattice.unknownPenalty))
    } else {
      unknownScore = lowest - UnigramLattice.unknownPenalty
    }
    self.trie = trie
    self.scores = scores
  }

  private struct Best {
    var id: Int32 = -1
    var start: Int32 = -1
    var score = 0.0
  }

  /// The pieces of `text` from left to right: id and range. Characters without a piece get the unknown id.
  func segments(_ text: UnsafeRawBufferPointer) -> [(id: Int, range: Range<Int>)] {
    guard !text.isEmpty else { return [] }
    var best = [Best](repeating: Best(), count: text.count + 1)
    var start = 0
    while start < text.count {
      let length = min(UTF8Text.length(leading: text[start]), text.count - start)
      let isSingle = extend(text, from: start, characterLength: length, &best)
      if !isSingle {
        offer(&best[start + length], sum(unknownScore, best[start].score), start: start, id: unknown)
      }
      start += length
    }
    var segments: [(id: Int, range: Range<Int>)] = []
    var end = text.count
    while end > 0 {
      let node = best[end]
      guard node.start >= 0 else { break }
      segments.append((Int(node.id), Int(node.start)..<end))
      end = Int(node.start)
    }
    return segments.reversed()
  }

  /// Offers every piece that begins at `start`; says whether one of them is exactly the character there.
  private func extend(
    _ text: UnsafeRawBufferPointer, from start: Int, characterLength: Int, _ best: inout [Best]
  ) -> Bool {
    var node = 0
    var place = start
    var isSingle = false
    let till = best[start].score
    while place < text.count, let next = trie.child(of: node, text[place]) {
      node = next
      place += 1
      guard let id = trie.value(at: node) else { continue }
      offer(&best[place], sum(scores[id], till), start: start, id: id)
      if place - start == characterLength { isSingle = true }
    }
    return isSingle
  }

  @inline(__always)
  private func sum(_ score: Double, _ till: Double) -> Double {
    arithmetic == .sentencePiece ? Double(Float(score) + Float(till)) : score + till
  }

  @inline(__always)
  private func offer(_ target: inout Best, _ candidate: Double, start: Int, id: Int) {
    guard target.start < 0 || candidate > target.score else { return }
    target.score = candidate
    target.start = Int32(truncatingIfNeeded: start)
    target.id = Int32(truncatingIfNeeded: id)
  }
}
