/// A unigram model as Hugging Face's tokenizers run it: sums in 64 bits, unknown runs as one piece.
struct UnigramModel: Sendable {
  private let lattice: UnigramLattice
  private let table: PieceTable
  private let unknown: Int?
  private let byteIDs: [Int]?

  /// A model of `tokens` with their scores; their ids are their places.
  init(tokens: [[UInt8]], scores: [Double], unknown: Int?, byteFallback: Bool) {
    var table = PieceTable(capacity: tokens.count)
    // Among equal pieces the library keeps the last.
    for (id, token) in tokens.enumerated() { table.insert(token, id: id, replacing: true) }
    self.table = table
    self.unknown = unknown
    let ids = (0..<256).compactMap { table.id(of: UTF8Text.bytePiece(UInt8($0))) }
    byteIDs = byteFallback && ids.count == 256 ? ids : nil
    lattice = UnigramLattice(
      pieces: tokens.map { Piece(bytes: $0, score: 0, type: .normal) }, scores: scores,
      unknown: unknown ?? -1,
      arithmetic: .huggingFace)
  }

  /// Appends the ids of the word `text[range]`.
  func encode(_ text: UnsafeRawBufferPointer, _ range: Range<Int>, to ids: inout [Int]) {
    let word = UnsafeRawBufferPointer(rebasing: text[range])
    var run: Range<Int>?
    for (id, range) in lattice.segments(word) {
      if id == unknown || id < 0 {
        run = (run?.lowerBound ?? range.lowerBound)..<range.upperBound
      } else {
        flush(&run, word, to: &ids)
        ids.append(id)
      }
    }
    flush(&run, word, to: &ids)
  }

  private func flush(_ run: inout Range<Int>?, _ word: UnsafeRawBufferPointer, to ids: inout [Int]) {
    guard let range = run else { return }
    run = nil
    let piece = UnsafeRawBufferPointer(rebasing: word[range])
    if let id = table.id(of: piece) {
      ids.append(id)
    } else if let byteIDs {
      for byte in piece { ids.append(byteIDs[Int(byte)]) }
    } else if let unknown {
      ids.append(unknown)
    }
  }
}
