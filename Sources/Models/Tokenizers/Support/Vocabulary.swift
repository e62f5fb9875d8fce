import ModelFiles

/// The kinds of pieces, with the numbers that SentencePiece files and `tokenizer.ggml.token_type` share.
enum PieceType: Int32, Sendable {
  case normal = 1, unknown, control, userDefined, unused, byte
}

/// A piece of a vocabulary; its id is its place.
struct Piece: Sendable, Equatable {
  /// The text as bytes; spaces as U+2581 where the vocabulary does that.
  var bytes: [UInt8]
  var score: Float
  var type: PieceType
}

/// The special ids of a tokenizer.
struct SpecialIDs: Sendable, Equatable {
  var beginning: Int?
  var end: Int?
  var unknown: Int?
  var padding: Int?
  var classifier: Int?
  var separator: Int?
  var mask: Int?
  /// Ids besides `end` at which generation stops.
  var stops: Set<Int> = []
}
