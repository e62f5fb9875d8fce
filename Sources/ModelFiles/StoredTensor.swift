public import TensorCore

/// A named tensor as a file stores it.
public struct StoredTensor: Sendable {
  /// The name; in the file's own terms, or in canonical terms once a model was imported.
  public var name: String
  /// The sizes, outermost first; the last is the length of a row. Empty for a scalar.
  public var shape: [Int]
  /// How the elements are stored.
  public var format: TensorFormat
  /// The stored bytes: little endian, row-major, contiguous, exactly as many as shape and format say.
  public var bytes: TensorBytes
  /// What the bytes are to a compressor.
  public var stream = TensorStream.plain
  /// The most weights that are not zero, where a pass pruned the tensor; nil for a dense one. What rounds the tensor keeps the zeros.
  public var keptLimit: Int?

  /// A tensor of `shape` in `format`.
  public init(name: String, shape: [Int], format: TensorFormat, bytes: TensorBytes) {
    self.name = name
    self.shape = shape
    self.format = format
    self.bytes = bytes
  }

  /// Whether weights that are zero have to stay zero.
  public var isSparse: Bool { keptLimit != nil }
  /// The number of elements.
  public var elementCount: Int { shape.reduce(1, *) }
  /// The length of a row: the last size, 1 for a scalar.
  public var rowLength: Int { shape.last ?? 1 }
  /// The number of rows.
  public var rowCount: Int { shape.dropLast().reduce(1, *) }
}

/// How an artifact compresses a tensor's bytes.
public enum TensorStream: Sendable {
  /// Numbers like any other.
  case plain
  /// Codes of one byte whose frequencies are all there is to find. `cuts` gives the places where frames end, so that each
  /// stretch of like frequencies is coded by itself; frames may end elsewhere, too.
  case codes(cuts: @Sendable (UnsafeRawBufferPointer) -> [Int])
}

/// The bytes of a tensor, on hand or made when asked for.
public struct TensorBytes: Sendable {
  /// The number of bytes.
  public let count: Int
  private let make: @Sendable () throws -> ByteRegion
  /// Whether loading is work: bytes on hand are only handed out.
  let isMade: Bool
  private let makeStart: (@Sendable (_ count: Int) throws -> ByteRegion)?
  private let makePart: (@Sendable (_ range: Range<Int>) throws -> ByteRegion)?
  /// Makes the bytes in pieces; nil where they come whole.
  let makePieces: PieceMaker?

  /// Takes a piece of a tensor's bytes with the place of its first one; called on several threads at once.
  public typealias PieceTaker = @Sendable (_ place: Int, _ bytes: UnsafeRawBufferPointer) throws -> Void
  /// Makes bytes in pieces that are handed out in any order, valid during the call only, and cover all.
  public typealias PieceMaker = @Sendable (_ take: PieceTaker) throws -> Void

  /// Bytes that are in memory or mapped already; loading them costs nothing.
  public init(_ region: ByteRegion) {
    count = region.count
    make = { region }
    isMade = false
    makeStart = nil
    makePart = nil
    makePieces = nil
  }

  /// Bytes that have to be gathered, swapped or decompressed: `make` returns exactly `count` bytes each time.
  ///
  /// - Parameters:
  ///   - start: makes only the first bytes, as many as it is asked for, where that is cheaper than all of them.
  ///   - part: makes only the bytes at a range, and checks them as all are checked.
  ///   - pieces: makes the same bytes without holding all of them, for those who can take them in any order.
  public init(
    count: Int, make: @escaping @Sendable () throws -> ByteRegion,
    start: (@Sendable (_ count: Int) throws -> ByteRegion)? = nil,
    part: (@Sendable (_ range: Range<Int>) throws -> ByteRegion)? = nil, pieces: PieceMaker? = nil
  ) {
    self.count = count
    self.make = make
    isMade = true
    makeStart = start
    makePart = part
    makePieces = pieces
  }

  /// The bytes of `region`, copied when asked for if they lie at an address that `format`'s elements may not have.
  package static func aligned(_ region: ByteRegion, to format: TensorFormat) -> TensorBytes {
    let alignment = format.isQuantized ? 2 : format.bytesPerBlock
    guard UInt(bitPattern: region.base) % UInt(alignment) != 0 else { return TensorBytes(region) }
    return TensorBytes(count: region.count) {
      ByteRegion(count: region.count) { $0.copyMemory(from: region.buffer) }
    }
  }

  /// The bytes, valid while the region lives. Lazy ones are made anew at each call.
  public func load() throws -> ByteRegion { try make() }

  /// The first `wanted` bytes, or all where there are fewer.
  public func loadStart(_ wanted: Int) throws -> ByteRegion {
    guard wanted < count else { return try make() }
    if let makeStart { return try makeStart(wanted) }
    return try make().slice(0..<max(0, wanted))
  }

  /// Whether some of the bytes are made without all of them.
  package var loadsParts: Bool { makePart != nil }

  /// The bytes at `range`.
  ///
  /// - Precondition: there are such bytes.
  package func loadPart(_ range: Range<Int>) throws -> ByteRegion {
    if let makePart { return try makePart(range) }
    return try make().slice(range)
  }
}
