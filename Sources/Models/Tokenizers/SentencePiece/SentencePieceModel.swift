import TensorCore

/// What a SentencePiece `.model` file holds (`sentencepiece_model.proto`): the parts that encoding needs.
struct SentencePieceModel: Sendable {
  /// The algorithms of `TrainerSpec.model_type` that we run.
  enum Algorithm: UInt64, Sendable {
    case unigram = 1, bytePair = 2
  }

  var algorithm = Algorithm.unigram
  var pieces: [Piece] = []
  var byteFallback = false
  var treatWhitespaceAsSuffix = false
  var special = SpecialIDs(beginning: 1, end: 2, unknown: 0)
  var unknownSurface: [UInt8] = Array(" \u{2047} ".utf8)
  var charsMap: [UInt8] = []
  var addsDummyPrefix = true
  var removesExtraWhitespace = true
  var escapesWhitespace = true

  /// The most pieces a vocabulary may have.
  static let pieceLimit = 1 << 24
}

// MARK: Reading

extension SentencePieceModel {
  /// Reads the file `contents`, called `path` in errors.
  init(_ contents: ByteRegion, path: String) throws(TokenizerError) {
    self.init()
    do throws(ProtobufReader.Failure) {
      var reader = ProtobufReader(contents.buffer)
      while let (field, value) = try reader.next() {
        guard case .bytes(let range) = value else { continue }
        switch field {
        case 1:
          guard pieces.count < SentencePieceModel.pieceLimit else {
            throw ProtobufReader.Failure(message: "too many pieces", offset: range.lowerBound)
          }
          pieces.append(try SentencePieceModel.piece(contents.buffer, range))
        case 2: try readTrainer(contents.buffer, range)
        case 3: try readNormalizer(contents.buffer, range)
        default: break
        }
      }
    } catch {
      throw TokenizerError(path: path, "no SentencePiece model: \(error.message) at byte \(error.offset)")
    }
    try check(path)
  }

  private static func piece(
    _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>
  ) throws(ProtobufReader.Failure) -> Piece {
    var piece = Piece(bytes: [], score: 0, type: .normal)
    var reader = ProtobufReader(bytes, range)
    while let (field, value) = try reader.next() {
      switch (field, value) {
      case (1, .bytes(let text)): piece.bytes = Array(bytes[text])
      case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
      case (3, .varint(let type)):
        guard let known = Int32(exactly: type).flatMap(PieceType.init(rawValue:)) else {
          throw ProtobufReader.Failure(message: "a piece of unknown type \(type)", offset: range.lowerBound)
        }
        piece.type = known
      default: break
      }
    }
    return piece
  }

  private mutating func readTrainer(
    _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>
  ) throws(ProtobufReader.Failure) {
    var reader = ProtobufReader(bytes, range)
    while let (field, value) = try reader.next() {
      switch (field, value) {
      case (3, .varint(let type)):
        guard let known = Algorithm(rawValue: type) else {
          throw ProtobufReader.Failure(
            message: "model type \(type) (only unigram and BPE are supported)", offset: range.lowerBound)
        }
        algorithm = known
      case (24, .varint(let flag)): treatWhitespaceAsSuffix = flag != 0
      case (35, .varint(let flag)): byteFallback = flag != 0
      case (40, .varint(let id)): special.unknown = SentencePieceModel.id(id)
      case (41, .varint(let id)): special.beginning = SentencePieceModel.id(id)
      case (42, .varint(let id)): special.end = SentencePieceModel.id(id)
      case (43, .varint(let id)): special.padding = SentencePieceModel.id(id)
      case (44, .bytes(let text)): unknownSurface = Array(bytes[text])
      default: break
      }
    }
  }

  private mutating func readNormalizer(
    _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>
  ) throws(ProtobufReader.Failure) {
    var reader = ProtobufReader(bytes, range)
    while let (field, value) = try reader.next() {
      switch (field, value) {
      case (2, .bytes(let blob)): charsMap = Array(bytes[blob])
      case (3, .varint(let flag)): addsDummyPrefix = flag != 0
      case (4, .varint(let flag)): removesExtraWhitespace = flag != 0
      case (5, .varint(let flag)): escapesWhitespace = flag != 0
      default: break
      }
    }
  }

  /// An int32 id of the file; -1 stands for none.
  private static func id(_ value: UInt64) -> Int? {
    let id = Int(Int32(truncatingIfNeeded: value))
    return id >= 0 ? id : nil
  }

  // MARK: Checking

  /// What SentencePiece itself refuses to load, we refuse too.
  private mutating func check(_ path: String) throws(TokenizerError) {
    func fail(_ message: String) -> TokenizerError { TokenizerError(path: path, message) }
    guard !pieces.isEmpty else { throw fail("no SentencePiece model: it has no pieces") }
    var unknown: Int?
    var seenBytes = Set<UInt8>()
    var normal = PieceTable(capacity: pieces.count)
    var reserved = PieceTable(capacity: 512)
    for (id, piece) in pieces.enumerated() {
      guard !piece.bytes.isEmpty else { throw fail("piece \(id) is empty") }
      guard !piece.score.isNaN else { throw fail("the score of piece \(id) is not a number") }
      let isNew: Bool
      switch piece.type {
      case .normal, .userDefined, .unused: isNew = normal.insert(piece.bytes, id: id)
      default: isNew = reserved.insert(piece.bytes, id: id)
      }
      guard isNew else {
        throw fail("piece \(id) '\(String(decoding: piece.bytes, as: UTF8.self))' appears twice")
      }
      if piece.type == .unknown {
        guard unknown == nil else {
          throw fail("pieces \(unknown ?? 0) and \(id) are both the unknown piece")
        }
        unknown = id
      }
      if piece.type == .byte {
        guard byteFallback else { throw fail("piece \(id) is a byte, but byte fallback is off") }
        guard let byte = UTF8Text.byteValue(piece.bytes) else { throw fail("piece \(id) is no byte") }
        seenBytes.insert(byte)
      }
    }
    guard let unknown else { throw fail("the vocabulary has no unknown piece") }
    guard !byteFallback || seenBytes.count == 256 else {
      throw fail("byte fallback needs 256 byte pieces, the vocabulary has \(seenBytes.count)")
    }
    special.unknown = unknown
    func inside(_ id: Int?) -> Int? { id.flatMap { $0 < pieces.count ? $0 : nil } }
    special.beginning = inside(special.beginning)
    special.end = inside(special.end)
    special.padding = inside(special.padding)
  }
}
