import TensorCore

/// A tensor's strided view of its storage's bytes, checked: every element lies inside.
struct TorchView {
  let shape: [Int]
  let format: TensorFormat
  /// The first element's byte in the storage.
  private let start: Int
  /// In elements; those of dimensions of size 1 are zero.
  private let strides: [Int]
  /// The bytes that the tensor takes once it is contiguous.
  let byteCount: Int
  /// The number of elements.
  let elementCount: Int

  /// What two tensors share when they are the same numbers in the same place.
  struct Identity: Hashable {
    let storage: String
    let start: Int
    let shape: [Int]
    let strides: [Int]
    let format: TensorFormat
  }

  /// Checks `tensor`, whose storage has `available` bytes.
  ///
  /// - Parameter name: the tensor's name, for errors.
  init(_ tensor: TorchTensor, name: String, available: Int, path: String) throws(ModelFileError) {
    func failure(_ message: String, _ reason: ModelFileError.Reason = .badStructure) -> ModelFileError {
      ModelFileError(reason, path: path, "tensor '\(printable(name))' \(message)")
    }
    guard let element = tensor.element else { throw failure("has untyped bytes", .unsupported) }
    guard let format = element.format else {
      throw failure("has type \(element.rawValue), which is not read", .unsupported)
    }
    guard tensor.offset >= 0, tensor.shape.allSatisfy({ $0 >= 0 }), tensor.strides.allSatisfy({ $0 >= 0 })
    else {
      throw failure(
        "has a negative offset, size or stride: \(tensor.offset), \(tensor.shape), \(tensor.strides)")
    }
    var count = CheckedInt(1)
    for size in tensor.shape { count.multiply(by: size) }
    guard !count.overflowed, let bytes = format.byteCount(of: count.value) else {
      throw failure("has sizes \(tensor.shape), whose product overflows")
    }
    // The last element's place, were the view to begin at element 0, plus one.
    var reach = CheckedInt(1)
    for (size, stride) in zip(tensor.shape, tensor.strides) where size > 1 {
      reach.add(size - 1, times: stride)
    }
    var end = CheckedInt(tensor.offset)
    if count.value > 0 { end.add(reach.value, times: 1) }
    end.multiply(by: format.bytesPerBlock)
    let base = tensor.storage.view.map { $0.lowerBound * (tensor.storage.element?.size ?? 1) } ?? 0
    let limit = tensor.storage.view.map { $0.count * (tensor.storage.element?.size ?? 1) } ?? available
    guard !reach.overflowed, !end.overflowed, end.value <= limit else {
      throw failure(
        "lies outside its storage '\(printable(tensor.storage.key))' of \(limit) bytes:"
          + " offset \(tensor.offset), sizes \(tensor.shape), strides \(tensor.strides)")
    }
    self.format = format
    shape = tensor.shape
    strides = zip(tensor.shape, tensor.strides).map { $0 > 1 ? $1 : 0 }
    start = base + tensor.offset * format.bytesPerBlock
    byteCount = bytes
    elementCount = count.value
  }

  /// Whether it holds more bytes than its storage: some are read several times.
  func isExpanded(over available: Int) -> Bool { byteCount > available }

  /// What makes this the same view as another of the storage called `storage`.
  func identity(storage: String) -> Identity {
    Identity(storage: storage, start: start, shape: shape, strides: strides, format: format)
  }

  /// The tensor's bytes: a slice of the storage when they lie there as they should, else gathered at each load.
  ///
  /// - Parameters:
  ///   - storage: the storage's bytes.
  ///   - isSwapped: whether they are big endian.
  func bytes(of storage: ByteRegion, isSwapped: Bool) -> TensorBytes {
    let size = format.bytesPerBlock
    if elementCount == 0 { return TensorBytes(ByteRegion([])) }
    if contiguousDimensions == shape.count, !isSwapped || size == 1 {
      let slice = storage.slice(start..<start + byteCount)
      // Readers load whole elements; a legacy file's storages can begin at odd bytes.
      if Int(bitPattern: slice.base) % size == 0 { return TensorBytes(slice) }
    }
    return TensorBytes(count: byteCount) {
      ByteRegion(count: byteCount) { target in
        gather(from: storage.base + start, into: target)
        if isSwapped { TorchView.swap(target, elementSize: size) }
      }
    }
  }

  /// How many of the last dimensions are stored row-major without gaps.
  private var contiguousDimensions: Int {
    var expected = 1
    for (place, size) in shape.enumerated().reversed() {
      if size > 1 && strides[place] != expected { return shape.count - 1 - place }
      expected *= size
    }
    return shape.count
  }

  private func gather(from source: UnsafeRawPointer, into target: UnsafeMutableRawBufferPointer) {
    let size = format.bytesPerBlock
    let inner = contiguousDimensions
    let outer = shape.count - inner
    let run = shape.suffix(inner).reduce(1, *) * size
    guard outer > 0 else { return copy(source, to: target, at: 0, count: run) }
    // The last dimension that has gaps is a plain loop; those before it count like an odometer.
    let length = shape[outer - 1]
    let step = strides[outer - 1] * size
    var counter = [Int](repeating: 0, count: outer - 1)
    var place = 0  // in elements
    var written = 0
    while written < target.count {
      let first = source + place * size
      for index in 0..<length {
        copy(first + index * step, to: target, at: written + index * run, count: run)
      }
      written += length * run
      var dimension = outer - 2
      while dimension >= 0 {
        counter[dimension] += 1
        place += strides[dimension]
        if counter[dimension] < shape[dimension] { break }
        place -= strides[dimension] * shape[dimension]
        counter[dimension] = 0
        dimension -= 1
      }
    }
  }

  @inline(__always)
  private func copy(
    _ source: UnsafeRawPointer, to target: UnsafeMutableRawBufferPointer, at place: Int, count: Int
  ) {
    switch count {
    case 4: target.storeBytes(of: source.loadUnaligned(as: UInt32.self), toByteOffset: place, as: UInt32.self)
    case 2: target.storeBytes(of: source.loadUnaligned(as: UInt16.self), toByteOffset: place, as: UInt16.self)
    default:
      UnsafeMutableRawBufferPointer(rebasing: target[place..<place + count])
        .copyMemory(from: UnsafeRawBufferPointer(start: source, count: count))
    }
  }

  /// Reverses the bytes of each element.
  private static func swap(_ bytes: UnsafeMutableRawBufferPointer, elementSize: Int) {
    switch elementSize {
    case 2: for value in bytes.bindMemory(to: UInt16.self).indices { swapOne(UInt16.self, bytes, value) }
    case 4: for value in bytes.bindMemory(to: UInt32.self).indices { swapOne(UInt32.self, bytes, value) }
    case 8: for value in bytes.bindMemory(to: UInt64.self).indices { swapOne(UInt64.self, bytes, value) }
    default: break
    }
  }

  @inline(__always)
  private static func swapOne<Value: FixedWidthInteger>(
    _: Value.Type, _ bytes: UnsafeMutableRawBufferPointer, _ index: Int
  ) {
    let place = index * MemoryLayout<Value>.size
    let value = bytes.load(fromByteOffset: place, as: Value.self)
    bytes.storeBytes(of: value.byteSwapped, toByteOffset: place, as: Value.self)
  }
}

/// A sum of products that remembers whether it ever left 64 bits.
private struct CheckedInt {
  private(set) var value: Int
  private(set) var overflowed = false

  init(_ value: Int) { self.value = value }

  mutating func multiply(by factor: Int) {
    let (result, overflow) = value.multipliedReportingOverflow(by: factor)
    value = result
    overflowed = overflowed || overflow
  }

  mutating func add(_ term: Int, times factor: Int) {
    let (product, overflow) = term.multipliedReportingOverflow(by: factor)
    let (sum, carried) = value.addingReportingOverflow(product)
    value = sum
    overflowed = overflowed || overflow || carried
  }
}
