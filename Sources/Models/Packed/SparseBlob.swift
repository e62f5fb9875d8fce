public import ModelFiles
import TensorCore

/// Pruned matrices in a file of the `compress` layout: a bit for each weight that is there, and those weights.
///
/// A tensor of bytes, little endian:
/// ```
/// u32 rows, u32 columns
/// u64 n              the values that there is room for; no fewer than bits are set
/// 16 bytes           the format's name, then zeros: f32, f16, bf16, int8.channel, w8a8, int4.g32 …
/// mask               row by row, ⌈columns / 8⌉ bytes each, from the lowest bit on; the rest of a row's last byte is 0
/// scales             of quantized formats: low bytes of all half-precision scales, then all high bytes
/// values             n first bytes, then n second bytes …; behind the last value zeros
/// ```
/// A value is a float's bytes or a code as a signed byte. Bytes of one place lie together, and in frames of their own, so that each is
/// coded by its own frequencies: mantissas know nothing of exponents. For that a file that has pruned matrices stores its other float
/// matrices so, too, with room for every weight: a matrix with as much room as weights is dense.
enum SparseBlob {
  static let ending = "weight_sparse"
  private static let head = 32
  /// The formats that a blob can hold.
  static let formats: [TensorFormat] = [
    .f32, .f16, .bf16, .int8_channel, .w8a8, .int4_g32, .int4_g64, .int4_g128,
  ]

  /// Where the parts of a blob lie.
  struct Places {
    let rows, columns, room: Int
    let format: TensorFormat
    /// Whether nothing is known to be zero.
    var isDense: Bool { room == rows * columns }
    /// The bytes of a row's bits.
    var maskStride: Int { (columns + 7) / 8 }
    var mask: Int { SparseBlob.head }
    var scales: Int { mask + rows * maskStride }
    var scaleCount: Int { format.isQuantized ? rows * StoredScales.count(format, columns: columns) : 0 }
    var values: Int { scales + 2 * scaleCount }
    /// The bytes of a value.
    var width: Int { format.isFloat ? format.bytesPerBlock : 1 }
    var count: Int { values + width * room }
    var rowBytes: Int { format.byteCount(of: columns) ?? 0 }
  }

  /// Whether a tensor is smaller in a blob: known to be sparse, a matrix, and of a format that fits.
  static func suits(_ tensor: StoredTensor) -> Bool {
    guard let kept = tensor.keptLimit, tensor.shape.count == 2, tensor.name.hasSuffix(".weight"),
      formats.contains(tensor.format)
    else { return false }
    // The mask costs a bit a weight; a share of zeros below this is not worth one.
    return Double(kept) <= 0.9 * Double(tensor.elementCount)
  }

  /// Whether a tensor may lie in a blob beside pruned matrices: a float matrix.
  static func holds(_ tensor: StoredTensor) -> Bool {
    tensor.shape.count == 2 && tensor.name.hasSuffix(".weight") && tensor.format.isFloat
      && formats.contains(tensor.format)
  }

  /// The tensor of a file.
  ///
  /// - Precondition: ``suits(_:)`` or ``holds(_:)``.
  static func stored(_ tensor: StoredTensor, module: String) -> StoredTensor {
    let places = Places(
      rows: tensor.rowCount, columns: tensor.rowLength,
      room: suits(tensor) ? tensor.keptLimit ?? tensor.elementCount : tensor.elementCount,
      format: tensor.format)
    let name = tensor.name
    var result = tensor.derived(module + "." + ending, shape: [places.count], format: .u8) {
      source, target in
      try write(source, places, to: target, name: name)
    }
    result.stream = .codes { _ in cuts(places) }
    return result
  }

  /// Where frames end, so that each has like bytes.
  private static func cuts(_ places: Places) -> [Int] {
    [places.mask, places.scales, places.scales + places.scaleCount]
      + (0..<places.width).map { places.values + $0 * places.room }
  }

  // MARK: Writing

  private static func write(
    _ source: ByteRegion, _ places: Places, to target: UnsafeMutableRawPointer, name: String
  ) throws {
    target.storeBytes(of: UInt32(places.rows).littleEndian, as: UInt32.self)
    target.storeBytes(of: UInt32(places.columns).littleEndian, toByteOffset: 4, as: UInt32.self)
    target.storeBytes(of: UInt64(places.room).littleEndian, toByteOffset: 8, as: UInt64.self)
    for (index, byte) in places.format.rawValue.utf8.prefix(16).enumerated() {
      target.storeBytes(of: byte, toByteOffset: 16 + index, as: UInt8.self)
    }
    nonisolated(unsafe) let target = target
    Parallel.forEach(places.rows) { row in
      withValues(source, places, row) { values in
        let bits = (target + places.mask + row * places.maskStride).assumingMemoryBound(to: UInt8.self)
        for column in 0..<places.columns where !isZero(values + column * places.width, places.width) {
          bits[column / 8] |= 1 << UInt8(column % 8)
        }
      }
    }
    let starts = try starts(UnsafeRawPointer(target), places, name: name)
    Parallel.forEach(places.rows) { row in
      let perRow = places.scaleCount / max(1, places.rows)
      for index in 0..<perRow {
        let bits = StoredScales.bits(
          source, format: places.format, columns: places.columns, row: row, index: index)
        let low = target + places.scales + row * perRow + index
        low.storeBytes(of: UInt8(truncatingIfNeeded: bits), as: UInt8.self)
        (low + places.scaleCount).storeBytes(of: UInt8(bits >> 8), as: UInt8.self)
      }
      withValues(source, places, row) { values in
        var place = starts[row]
        for column in 0..<places.columns where !isZero(values + column * places.width, places.width) {
          for byte in 0..<places.width {
            target.storeBytes(
              of: values[column * places.width + byte],
              toByteOffset: places.values + byte * places.room + place, as: UInt8.self)
          }
          place += 1
        }
      }
    }
  }

  private static func isZero(_ value: UnsafePointer<UInt8>, _ width: Int) -> Bool {
    (0..<width).allSatisfy { value[$0] == 0 }
  }

  /// A row's values one after the other: floats as they lie, codes as signed bytes.
  private static func withValues(
    _ source: ByteRegion, _ places: Places, _ row: Int, _ body: (UnsafePointer<UInt8>) -> Void
  ) {
    let start = (source.base + row * places.rowBytes).assumingMemoryBound(to: UInt8.self)
    guard let group = Int4Codes.group(places.format) else {
      return body(start + places.format.rowHeaderBytes)
    }
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: max(places.columns, 1)) { codes in
      guard let codes = codes.baseAddress else { return }
      Int4Codes.unpack(row: start, columns: places.columns, group: group, into: codes)
      for column in 0..<places.columns { codes[column] = codes[column] &- 8 }
      body(codes)
    }
  }

  /// Each row's first value, by the bits that are set before it.
  ///
  /// - Throws: ``ModelError`` when there are more bits than room, or one behind a row's end.
  private static func starts(_ blob: UnsafeRawPointer, _ places: Places, name: String) throws -> [Int] {
    let mask = (blob + places.mask).assumingMemoryBound(to: UInt8.self)
    let counts = (0..<places.rows).map { row in
      (0..<places.maskStride).reduce(0) { $0 + mask[row * places.maskStride + $1].nonzeroBitCount }
    }
    var total = 0
    let starts = counts.map { count in
      defer { total += count }
      return total
    }
    guard total <= places.room else {
      throw ModelError(
        .wrongShape, "",
        "tensor '\(name)': \(total) weights are not zero, but there is room for \(places.room)")
    }
    let spare = places.columns % 8
    if spare > 0,
      let row = (0..<places.rows).first(where: { mask[($0 + 1) * places.maskStride - 1] >> spare != 0 })
    {
      throw ModelError(.wrongShape, "", "tensor '\(name)': the mask of row \(row) goes on behind its end")
    }
    return starts
  }
}

// MARK: - Reading

extension SparseBlob {
  /// The matrix of a stored blob.
  ///
  /// - Throws: ``ModelError`` when its head makes no sense or its sizes do not fit its bytes; when it is loaded, for a mask or a value
  ///   that cannot be.
  static func matrix(_ tensor: StoredTensor, name: String) throws -> StoredTensor {
    guard tensor.format == .u8, tensor.shape.count == 1, tensor.elementCount >= head else {
      throw ModelError(
        .wrongShape, "",
        "tensor '\(tensor.name)' (\(tensor.shapeText), \(tensor.format.rawValue)) holds no sparse matrix")
    }
    guard let places = try places(of: tensor) else {
      throw ModelError(
        .wrongShape, "",
        "tensor '\(tensor.name)': its \(tensor.elementCount) bytes do not fit the sizes and the format it states"
      )
    }
    let count = places.rows * places.rowBytes
    var result = StoredTensor(
      name: name, shape: [places.rows, places.columns], format: places.format,
      bytes: TensorBytes(count: count) {
        let blob = try tensor.bytes.load()
        let starts = try starts(blob.base, places, name: name)
        try check(blob, places, name: name)
        return ByteRegion(count: count) { memory in
          if let base = memory.baseAddress { read(blob, places, starts, into: base) }
        }
      })
    result.keptLimit = places.isDense ? nil : places.room
    return result
  }

  /// The places that a tensor states, if they fit.
  static func places(of tensor: StoredTensor) throws -> Places? {
    guard tensor.elementCount >= head else { return nil }
    let start = try tensor.bytes.loadStart(head)
    return start.withBytes { places(of: $0, count: tensor.elementCount) }
  }

  /// The places that a head of a blob of `count` bytes states, if they fit.
  private static func places(of head: UnsafeRawBufferPointer, count: Int) -> Places? {
    let rows = Int(UInt32(littleEndian: head.loadUnaligned(as: UInt32.self)))
    let columns = Int(UInt32(littleEndian: head.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
    let room = UInt64(littleEndian: head.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    let name = head[16..<32].prefix { $0 != 0 }
    guard rows > 0, columns > 0, rows < 1 << 31, columns < 1 << 31, room <= UInt64(count),
      (columns + 7) / 8 <= count / rows,  // so no product below can overflow
      head[(16 + name.count)..<32].allSatisfy({ $0 == 0 }),
      let format = formats.first(where: { $0.rawValue.utf8.elementsEqual(name) }),
      columns % max(1, format.blockSize) == 0
    else { return nil }
    let places = Places(rows: rows, columns: columns, room: Int(room), format: format)
    return places.count == count && Int(room) <= rows * columns ? places : nil
  }

  private static func check(_ blob: ByteRegion, _ places: Places, name: String) throws {
    let bytes = blob.base.assumingMemoryBound(to: UInt8.self)
    for index in 0..<places.scaleCount where bytes[places.scales + places.scaleCount + index] & 0x7c == 0x7c {
      throw ModelError(.nonFinite, "", "tensor '\(name)': scale \(index) is NaN or infinite")
    }
    guard Int4Codes.group(places.format) != nil else { return }
    for place in 0..<places.room {
      let code = Int8(bitPattern: bytes[places.values + place])
      guard (-8...7).contains(code) else {
        throw ModelError(.wrongShape, "", "tensor '\(name)': code \(code) is no 4-bit code")
      }
    }
  }

  private static func read(
    _ blob: ByteRegion, _ places: Places, _ starts: [Int], into target: UnsafeMutableRawPointer
  ) {
    nonisolated(unsafe) let (bytes, target) = (
      blob.base.assumingMemoryBound(to: UInt8.self), target.assumingMemoryBound(to: UInt8.self)
    )
    let perRow = places.scaleCount / max(1, places.rows)
    let (width, columns) = (places.width, places.columns)
    Parallel.forEach(places.rows) { row in
      let line = target + row * places.rowBytes
      func scale(_ index: Int) -> UInt16 {
        let low = places.scales + row * perRow + index
        return UInt16(bytes[low]) | UInt16(bytes[low + places.scaleCount]) << 8
      }
      func fill(_ values: UnsafeMutablePointer<UInt8>) {
        let mask = bytes + places.mask + row * places.maskStride
        var place = places.values + starts[row]
        for column in 0..<columns where mask[column / 8] >> UInt8(column % 8) & 1 == 1 {
          for byte in 0..<width { values[column * width + byte] = bytes[place + byte * places.room] }
          place += 1
        }
      }
      if perRow == 0 { return fill(line) }
      guard let group = Int4Codes.group(places.format) else {
        (line[0], line[1]) = (UInt8(truncatingIfNeeded: scale(0)), UInt8(scale(0) >> 8))
        return fill(line + 2)
      }
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: columns) { codes in
        guard let codes = codes.baseAddress else { return }
        codes.initialize(repeating: 0, count: columns)
        fill(codes)
        for column in 0..<columns { codes[column] = codes[column] &+ 8 }
        let scales = (0..<perRow).map(scale)
        Int4Codes.pack(codes, scales: scales, columns: columns, group: group, into: line)
      }
    }
  }
}

extension Checkpoint {
  /// Whether a file holds pruned matrices as masks and values, which only this program reads.
  public static func holdsSparseMatrices(_ source: ModelSource) -> Bool {
    source.tensors.contains { $0.name.hasSuffix("." + SparseBlob.ending) }
  }
}
