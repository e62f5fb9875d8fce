public import TensorCore

/// Takes the bytes of a file in order: a file, a compressor, a hash.
public protocol ByteSink {
  /// Takes the next bytes, which are valid only during the call.
  mutating func write(_ bytes: UnsafeRawBufferPointer) throws

  /// Whether ``write(count:pieces:)`` works: bytes need not come in order.
  var takesPieces: Bool { get }

  /// Takes the next `count` bytes, in pieces that `make` hands out in any order.
  ///
  /// - Precondition: ``takesPieces``.
  mutating func write(count: Int, pieces make: TensorBytes.PieceMaker) throws
}

extension ByteSink {
  /// False: most sinks take bytes in order.
  public var takesPieces: Bool { false }

  /// Not to be called.
  public mutating func write(count: Int, pieces make: TensorBytes.PieceMaker) throws {
    preconditionFailure("this sink takes bytes in order")
  }
}

/// A sink that keeps everything in memory: small files, and tests.
public struct MemorySink: ByteSink {
  /// What was written so far.
  public private(set) var bytes: [UInt8] = []

  /// An empty sink.
  public init() {}

  /// Appends the bytes.
  public mutating func write(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }
}

/// A GGUF or safetensors file before it is written: its header as bytes, and where each tensor goes.
///
/// The layout depends on names, shapes and formats only, so the file's size is known before a tensor is loaded, and
/// tensors can be streamed one at a time.
public struct ContainerLayout: Sendable {
  /// A tensor and its place in the file.
  public struct Placement: Sendable {
    /// The tensor; its bytes are loaded when they are written.
    public var tensor: StoredTensor
    /// The first byte, counted from the start of the file.
    public var offset: Int
    /// Zero bytes between this tensor's end and the next one's start, or the end of the file.
    public var paddingAfter: Int

    /// `tensor` at `offset`.
    public init(tensor: StoredTensor, offset: Int, paddingAfter: Int) {
      self.tensor = tensor
      self.offset = offset
      self.paddingAfter = paddingAfter
    }
  }

  /// "gguf" or "safetensors": the file's extension, and the name that manifests use.
  public var container: String
  /// Everything before the first tensor, padding included.
  public var prefix: ByteRegion
  /// The tensors in file order, without gaps: each starts where the one before it ends with its padding.
  public var tensors: [Placement]
  /// The whole file's length.
  public var size: Int
  /// Remarks for the report: "tensor name 'x' is longer than llama.cpp accepts" …
  public var notes: [String] = []

  /// A layout of these parts.
  public init(container: String, prefix: ByteRegion, tensors: [Placement], size: Int, notes: [String] = []) {
    self.container = container
    self.prefix = prefix
    self.tensors = tensors
    self.size = size
    self.notes = notes
  }

  /// Whether the file may turn out to be a copy of `file`: it has the same size and header.
  package func mayRepeat(_ file: ByteRegion) -> Bool {
    guard file.count == size, prefix.count <= size else { return false }
    return withExtendedLifetime((file, prefix)) { file.buffer.starts(with: prefix.buffer) }
  }

  /// Writes the whole file. Tensors that can be made in pieces go straight into sinks that take them; of others, on more than
  /// one thread, the next is made while one is written, so two are in memory.
  ///
  /// - Throws: what `sink` or a tensor's loading throws; ``ModelFileError`` when a tensor yields fewer or more bytes
  ///   than it promised.
  public func write(to sink: inout some ByteSink) throws {
    try sink.write(prefix.buffer)
    let takesPieces = sink.takesPieces
    let reader = TensorsAhead(tensors.map(\.tensor.bytes), inPieces: takesPieces)
    defer { reader.finish() }
    for placement in tensors {
      if takesPieces, let pieces = placement.tensor.bytes.makePieces {
        reader.skip()
        try sink.write(count: placement.tensor.bytes.count, pieces: pieces)
        try ContainerLayout.writeZeros(placement.paddingAfter, to: &sink)
        continue
      }
      let bytes = try reader.next()
      guard bytes.count == placement.tensor.bytes.count else {
        throw ModelFileError(
          .badStructure, path: "\(container) output",
          "tensor '\(placement.tensor.name)' gave \(bytes.count) bytes instead of \(placement.tensor.bytes.count)"
        )
      }
      try withExtendedLifetime(bytes) { try sink.write(bytes.buffer) }
      try ContainerLayout.writeZeros(placement.paddingAfter, to: &sink)
    }
  }

  /// Writes `count` zero bytes.
  package static func writeZeros(_ count: Int, to sink: inout some ByteSink) throws {
    var left = count
    while left > 0 {
      let part = min(left, zeros.count)
      try sink.write(UnsafeRawBufferPointer(start: zeros.base, count: part))
      left -= part
    }
  }

  private static let zeros = ByteRegion([UInt8](repeating: 0, count: 4096))
}

/// Where the tensors of a GGUF or safetensors file lie, read from its header alone.
public struct ContainerIndex: Sendable {
  /// A tensor's description and place.
  public struct Entry: Sendable, Equatable {
    /// The name in the file.
    public var name: String
    /// The sizes, outermost first.
    public var shape: [Int]
    /// How the elements are stored.
    public var format: TensorFormat
    /// The bytes, counted from the start of the file.
    public var range: Range<Int>
  }

  /// The tensors in the header's order; ranges lie inside the file, do not overlap, and fit shape and format.
  public var tensors: [Entry]
  /// GGUF key/value pairs in order; empty for safetensors.
  public var metadata: [GGUFEntry] = []
  /// safetensors' `__metadata__`; empty for GGUF.
  public var textMetadata: [String: String] = [:]
  /// The header's length, padding included: the first byte that may belong to a tensor.
  public var dataOffset: Int
}

extension StoredTensor {
  /// The bytes that a tensor of `shape` takes in `format`: nil when a size is negative, the product overflows, or rows
  /// do not fill whole blocks.
  package static func byteCount(shape: [Int], format: TensorFormat) -> Int? {
    guard shape.allSatisfy({ $0 >= 0 }), var total = format.byteCount(of: shape.last ?? 1) else { return nil }
    // All the sizes are multiplied before an empty one is believed: [2^40, 2^40, 0] has elements enough to overflow.
    var nonempty = max(total, 1)
    for size in shape.dropLast() {
      let (product, overflow) = nonempty.multipliedReportingOverflow(by: max(size, 1))
      if overflow { return nil }
      nonempty = product
      total = total == 0 || size == 0 ? 0 : product
    }
    return total
  }
}
