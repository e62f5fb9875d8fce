import Glibc
import ModelFiles
import TensorCore

/// Uniform codes as a file holds them: one tensor `X.weight_uniform`, U8 [bytes], made so that zstd codes it near its
/// entropy.
///
/// ```
/// u32 rows, u32 columns
/// columns × u8      each column's class, from 0
/// rows × f16        row scales r
/// columns × f16     column scales c
/// codes             class by class, in each its columns in rising order, each column's codes from the first row on
/// ```
/// `uniform8` has one signed byte a code. `uniform16` has two parts of that shape: signed low bytes l, then signed high
/// bytes h, code = l + 256·h. A class holds columns of like variance, so that each class is best coded by a table of its
/// own: an artifact gives it frames of its own.
enum UniformBlob {
  static let ending = "weight_uniform"
  /// More classes than this do not pay, on any matrix measured.
  private static let mostClasses = 16
  /// What a frame and its table cost, about, in bytes.
  private static let frameCost = 60.0

  /// Where the parts of a blob lie.
  struct Places {
    let rows, columns: Int
    var classes: Int { 8 }
    var rowScales: Int { 8 + columns }
    var columnScales: Int { rowScales + 2 * rows }
    var codes: Int { columnScales + 2 * columns }
    /// The bytes of one part of codes.
    var area: Int { rows * columns }
  }

  /// The tensor of a file.
  ///
  /// - Precondition: the format is `uniform8` or `uniform16`.
  static func stored(_ tensor: StoredTensor, module: String) -> StoredTensor {
    let (rows, columns, format) = (tensor.rowCount, tensor.rowLength, tensor.format)
    let places = Places(rows: rows, columns: columns)
    let count = places.codes + places.area * format.bytesPerBlock
    var result = tensor.derived(module + "." + ending, shape: [count], format: .u8) { source, target in
      write(source, places, format, to: target)
    }
    result.stream = .codes { cuts(in: $0) }
    return result
  }

  private static func write(
    _ source: ByteRegion, _ places: Places, _ format: TensorFormat, to target: UnsafeMutableRawPointer
  ) {
    let (rows, columns, width) = (places.rows, places.columns, format.bytesPerBlock)
    let stride = 2 + columns * width
    target.storeBytes(of: UInt32(rows).littleEndian, as: UInt32.self)
    target.storeBytes(of: UInt32(columns).littleEndian, toByteOffset: 4, as: UInt32.self)
    for row in 0..<rows {
      (target + places.rowScales + 2 * row).copyMemory(from: source.base + row * stride, byteCount: 2)
    }
    (target + places.columnScales).copyMemory(from: source.base + rows * stride, byteCount: 2 * columns)
    let low = UnsafeMutablePointer<Int8>.allocate(capacity: max(places.area, 1))
    defer { low.deallocate() }
    func code(_ row: Int, _ column: Int) -> Int32 {
      let place = source.base + row * stride + 2 + column * width
      return width == 1
        ? Int32(place.loadUnaligned(as: Int8.self))
        : Int32(Int16(littleEndian: place.loadUnaligned(as: Int16.self)))
    }
    for row in 0..<rows {
      for column in 0..<columns { low[column * rows + row] = Int8(truncatingIfNeeded: code(row, column)) }
    }
    let classes = classes(low, rows: rows, columns: columns)
    for column in 0..<columns {
      target.storeBytes(of: classes[column], toByteOffset: places.classes + column, as: UInt8.self)
    }
    let order = order(classes)
    for (place, column) in order.enumerated() {
      let start = target + places.codes + place * rows
      start.copyMemory(from: low + column * rows, byteCount: rows)
      guard width == 2 else { continue }
      for row in 0..<rows {
        let high = (code(row, column) - Int32(low[column * rows + row])) / 256
        start.storeBytes(of: Int8(clamping: high), toByteOffset: places.area + row, as: Int8.self)
      }
    }
  }

  /// The columns in the order of a file.
  private static func order(_ classes: [UInt8]) -> [Int] {
    classes.indices.sorted { (classes[$0], $0) < (classes[$1], $1) }
  }

  // MARK: Classes

  /// Columns from the widest spread to the narrowest, cut where tables of their own are worth a frame.
  private static func classes(_ codes: UnsafePointer<Int8>, rows: Int, columns: Int) -> [UInt8] {
    let energies = (0..<columns).map { column in
      (0..<rows).reduce(into: 0) { $0 += Int(codes[column * rows + $1]) * Int(codes[column * rows + $1]) }
    }
    let order = energies.indices.sorted { (-energies[$0], $0) < (-energies[$1], $1) }
    let length = max(1, (columns + mostClasses - 1) / mostClasses)
    var groups = Swift.stride(from: 0, to: columns, by: length).map { first in
      let members = Array(order[first..<min(first + length, columns)])
      var counts = [Int](repeating: 0, count: 256)
      for column in members {
        for row in 0..<rows { counts[Int(codes[column * rows + row]) + 128] += 1 }
      }
      return (members: members, counts: counts, cost: cost(counts))
    }
    // The pair that gains most is joined, as long as one gains.
    while groups.count > 1 {
      let joined = (1..<groups.count).map { place in
        let counts = zip(groups[place - 1].counts, groups[place].counts).map { $0 + $1 }
        return (counts: counts, cost: cost(counts))
      }
      let gains = joined.indices.map { groups[$0].cost + groups[$0 + 1].cost - joined[$0].cost }
      guard let best = gains.indices.max(by: { (gains[$0], $1) < (gains[$1], $0) }), gains[best] > 0 else {
        break
      }
      groups[best] = (groups[best].members + groups[best + 1].members, joined[best].counts, joined[best].cost)
      groups.remove(at: best + 1)
    }
    var classes = [UInt8](repeating: 0, count: columns)
    for (index, group) in groups.enumerated() {
      for column in group.members { classes[column] = UInt8(index) }
    }
    return classes
  }

  /// The bytes of codes with these counts, by their entropy, with a frame's own.
  private static func cost(_ counts: [Int]) -> Double {
    let total = Double(counts.reduce(0, +))
    let bits = counts.reduce(0.0) { $1 == 0 ? $0 : $0 - Double($1) * log2(Double($1) / total) }
    return bits / 8 + frameCost
  }

  // MARK: Reading

  /// The matrix of a stored blob.
  ///
  /// - Throws: ``ModelError`` when its sizes do not fit its bytes, a scale is no number, or a code is out of range.
  static func matrix(_ tensor: StoredTensor, name: String) throws -> StoredTensor {
    guard tensor.format == .u8, tensor.shape.count == 1, tensor.elementCount >= 8 else {
      throw ModelError(
        .wrongShape, "",
        "tensor '\(tensor.name)' (\(tensor.shapeText), \(tensor.format.rawValue)) holds no uniform codes")
    }
    let blob = try tensor.bytes.load()
    guard let (places, width) = places(of: blob.buffer) else {
      throw ModelError(
        .wrongShape, "",
        "tensor '\(tensor.name)': its \(tensor.elementCount) bytes do not fit the sizes it states")
    }
    let format: TensorFormat = width == 1 ? .uniform8 : .uniform16
    let count = format.byteCount(rows: places.rows, columns: places.columns) ?? 0
    return StoredTensor(
      name: name, shape: [places.rows, places.columns], format: format,
      bytes: TensorBytes(count: count) {
        let blob = try tensor.bytes.load()
        try check(blob, places, width, name: tensor.name)
        return ByteRegion(count: count) { memory in
          if let base = memory.baseAddress { read(blob, places, width, into: base) }
        }
      })
  }

  /// The sizes a blob states and the bytes of a code, if its length agrees.
  private static func places(of blob: UnsafeRawBufferPointer) -> (Places, width: Int)? {
    guard blob.count >= 8 else { return nil }
    let rows = Int(UInt32(littleEndian: blob.loadUnaligned(as: UInt32.self)))
    let columns = Int(UInt32(littleEndian: blob.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
    guard rows > 0, columns > 0, rows < 1 << 31, columns < 1 << 31, rows <= blob.count / columns else {
      return nil
    }
    let places = Places(rows: rows, columns: columns)
    switch blob.count - places.codes {
    case places.area: return (places, 1)
    case 2 * places.area: return (places, 2)
    default: return nil
    }
  }

  private static func check(_ blob: ByteRegion, _ places: Places, _ width: Int, name: String) throws {
    for index in 0..<places.rows + places.columns {
      let bits = UInt16(
        littleEndian: blob.base.loadUnaligned(fromByteOffset: places.rowScales + 2 * index, as: UInt16.self))
      guard bits & 0x7c00 != 0x7c00 else {
        throw ModelError(.nonFinite, "", "tensor '\(name)': scale \(index) is NaN or infinite")
      }
    }
    guard width == 2 else { return }
    for place in 0..<places.area {
      let low = Int(blob.base.load(fromByteOffset: places.codes + place, as: Int8.self))
      let high = Int(blob.base.load(fromByteOffset: places.codes + places.area + place, as: Int8.self))
      guard abs(low + 256 * high) <= 32639 else {
        throw ModelError(.wrongShape, "", "tensor '\(name)': code \(low + 256 * high) is beyond ±32639")
      }
    }
  }

  private static func read(
    _ blob: ByteRegion, _ places: Places, _ width: Int, into target: UnsafeMutableRawPointer
  ) {
    let (rows, columns) = (places.rows, places.columns)
    let stride = 2 + columns * width
    for row in 0..<rows {
      (target + row * stride).copyMemory(from: blob.base + places.rowScales + 2 * row, byteCount: 2)
    }
    (target + rows * stride).copyMemory(from: blob.base + places.columnScales, byteCount: 2 * columns)
    let classes = (0..<columns).map { blob.base.load(fromByteOffset: places.classes + $0, as: UInt8.self) }
    for (place, column) in order(classes).enumerated() {
      let codes = blob.base + places.codes + place * rows
      for row in 0..<rows {
        let (low, offset) = (
          codes.load(fromByteOffset: row, as: Int8.self), row * stride + 2 + column * width
        )
        guard width == 2 else {
          target.storeBytes(of: low, toByteOffset: offset, as: Int8.self)
          continue
        }
        let high = Int(codes.load(fromByteOffset: places.area + row, as: Int8.self))
        let code = Int16(clamping: Int(low) + 256 * high)
        target.storeBytes(of: code.littleEndian, toByteOffset: offset, as: Int16.self)
      }
    }
  }

  /// Where frames end: behind the scales, behind each class, and the high bytes by themselves.
  private static func cuts(in blob: UnsafeRawBufferPointer) -> [Int] {
    guard let (places, width) = places(of: blob) else { return [] }
    var sizes = [Int](repeating: 0, count: 256)
    for column in 0..<places.columns { sizes[Int(blob[places.classes + column])] += places.rows }
    var cuts = [places.codes]
    for size in sizes where size > 0 { cuts.append((cuts.last ?? 0) + size) }
    return width == 1 ? cuts : cuts + [blob.count]
  }
}
