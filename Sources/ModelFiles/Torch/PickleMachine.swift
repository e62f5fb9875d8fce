/// Reads one pickle (Python's `pickletools`, protocols 2 to 5) with a whitelist: tensors and plain data come out of it, and
/// nothing is ever called, imported or looked up.
///
/// Time and memory are bounded by the bytes read: each opcode makes at most one value, values are counted, and
/// containers are kept in an arena.
struct PickleMachine {
  /// The most values that one pickle may make. A checkpoint of 100 000 tensors makes 3 million.
  static let valueLimit = 16 << 20

  let path: String
  /// The containers, tensors and storages made so far.
  var arena = PickleArena()
  private var stack: [PickleValue] = []
  private var marks: [Int] = []
  private var memo: [Int: PickleValue] = [:]
  private var valueCount = 0

  /// A machine for the file at `path`.
  init(path: String) { self.path = path }

  /// Reads the pickle at `cursor`, up to and with its STOP, and returns its value.
  mutating func run(_ cursor: inout FileCursor) throws(ModelFileError) -> PickleValue {
    while true {
      let code = try cursor.byte()
      if code == Opcode.stop.rawValue { break }
      guard let opcode = Opcode(rawValue: code) else { throw try unknown(code, &cursor) }
      try step(opcode, &cursor)
    }
    let root = try pop()
    guard stack.isEmpty, marks.isEmpty else { throw malformed("the pickle leaves values behind") }
    try arena.checkFinite(from: root, path: path)
    return root
  }

  private mutating func step(_ opcode: Opcode, _ cursor: inout FileCursor) throws(ModelFileError) {
    switch opcode {
    case .proto:
      let version = try cursor.byte()
      guard (2...5).contains(version) else {
        throw ModelFileError(.unsupported, path: path, "the pickle has protocol \(version); 2 to 5 are read")
      }
    case .frame: _ = try cursor.length(UInt64.self)
    case .stop: break
    case .none, .newTrue, .newFalse, .binInt, .binInt1, .binInt2, .long1, .long4, .binFloat:
      try pushNumber(opcode, &cursor)
    case .binUnicode, .shortBinUnicode, .binUnicode8, .binString, .shortBinString, .binBytes, .shortBinBytes,
      .binBytes8, .byteArray8:
      try pushText(opcode, &cursor)
    case .emptyList, .emptyTuple, .emptyDict, .emptySet, .tuple1, .tuple2, .tuple3, .tuple, .frozenSet:
      try pushContainer(opcode)
    case .append, .appends, .setItem, .setItems, .addItems: try fill(opcode)
    case .mark:
      try count(1)
      marks.append(stack.count)
    case .pop: _ = try pop()
    case .popMark: _ = try popToMark()
    case .binPut: try store(Int(try cursor.byte()))
    case .longBinPut: try store(Int(try cursor.integer(UInt32.self)))
    case .memoize: try store(memo.count)
    case .binGet: try recall(Int(try cursor.byte()))
    case .longBinGet: try recall(Int(try cursor.integer(UInt32.self)))
    case .global:
      let module = String(decoding: try cursor.line(), as: UTF8.self)
      try pushGlobal(module: module, name: String(decoding: try cursor.line(), as: UTF8.self))
    case .stackGlobal:
      guard case .string(let name) = try pop(), case .string(let module) = try pop() else {
        throw malformed("STACK_GLOBAL without two strings")
      }
      try pushGlobal(module: module, name: name)
    case .reduce: try reduce()
    case .build: try build()
    case .binPersID: try pushStorage()
    }
  }

  // MARK: The stack

  /// Counts values before they are kept.
  mutating func count(_ values: Int) throws(ModelFileError) {
    valueCount += values
    guard valueCount <= PickleMachine.valueLimit else {
      throw ModelFileError(
        .badStructure, path: path, "the pickle makes more than \(PickleMachine.valueLimit) values")
    }
  }

  private mutating func push(_ value: PickleValue) throws(ModelFileError) {
    try count(1)
    stack.append(value)
  }

  /// The top of the stack, which is taken; values below the last mark are out of reach.
  private mutating func pop() throws(ModelFileError) -> PickleValue {
    guard stack.count > marks.last ?? 0, let value = stack.popLast() else { throw underflow() }
    return value
  }

  private mutating func popToMark() throws(ModelFileError) -> [PickleValue] {
    guard let mark = marks.popLast(), mark <= stack.count else { throw underflow() }
    let items = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return items
  }

  private mutating func store(_ place: Int) throws(ModelFileError) {
    guard stack.count > marks.last ?? 0, let value = stack.last else { throw underflow() }
    try count(1)
    memo[place] = value
  }

  private mutating func recall(_ place: Int) throws(ModelFileError) {
    guard let value = memo[place] else { throw malformed("memo \(place) is read before it is written") }
    try push(value)
  }

  // MARK: Plain values

  private mutating func pushNumber(_ opcode: Opcode, _ cursor: inout FileCursor) throws(ModelFileError) {
    switch opcode {
    case .newTrue: try push(.bool(true))
    case .newFalse: try push(.bool(false))
    case .binInt: try push(.int(Int(try cursor.integer(Int32.self))))
    case .binInt1: try push(.int(Int(try cursor.byte())))
    case .binInt2: try push(.int(Int(try cursor.integer(UInt16.self))))
    case .long1: try push(PickleMachine.long(try cursor.take(Int(try cursor.byte()))))
    case .long4: try push(PickleMachine.long(try cursor.take(try cursor.length(Int32.self))))
    case .binFloat:
      let bits = UInt64(bigEndian: try cursor.take(8).loadUnaligned(as: UInt64.self))
      try push(.double(Double(bitPattern: bits)))
    default: try push(.none)
    }
  }

  /// A little-endian two's complement number of any length.
  private static func long(_ bytes: UnsafeRawBufferPointer) -> PickleValue {
    guard bytes.count <= 8 else { return .big(Array(bytes.prefix(32))) }
    var value: UInt64 = bytes.last.map { $0 & 0x80 != 0 } ?? false ? .max : 0
    for byte in bytes.reversed() { value = value << 8 | UInt64(byte) }
    return .int(Int(Int64(bitPattern: value)))
  }

  private mutating func pushText(_ opcode: Opcode, _ cursor: inout FileCursor) throws(ModelFileError) {
    let count =
      switch opcode {
      case .shortBinUnicode, .shortBinString, .shortBinBytes: try cursor.length(UInt8.self)
      case .binUnicode, .binBytes: try cursor.length(UInt32.self)
      case .binString: try cursor.length(Int32.self)
      default: try cursor.length(UInt64.self)
      }
    let bytes = try cursor.take(count)
    switch opcode {
    case .binBytes, .shortBinBytes, .binBytes8, .byteArray8: try push(.bytes)
    default: try push(.string(String(decoding: bytes, as: UTF8.self)))
    }
  }

  private mutating func pushContainer(_ opcode: Opcode) throws(ModelFileError) {
    let kind: PickleObject.Kind
    var items: [PickleValue] = []
    switch opcode {
    case .emptyList: kind = .list
    case .emptyDict: kind = .dictionary
    case .emptySet: kind = .set
    case .frozenSet:
      kind = .set
      items = try popToMark()
    case .tuple:
      kind = .tuple
      items = try popToMark()
    case .tuple1, .tuple2, .tuple3:
      kind = .tuple
      let size = opcode == .tuple1 ? 1 : opcode == .tuple2 ? 2 : 3
      for _ in 0..<size { items.append(try pop()) }
      items.reverse()
    default: kind = .tuple
    }
    try push(arena.add(kind, items))
  }

  private mutating func fill(_ opcode: Opcode) throws(ModelFileError) {
    var items: [PickleValue]
    switch opcode {
    case .append: items = [try pop()]
    case .setItem: items = [try pop(), try pop()].reversed()
    default: items = try popToMark()
    }
    let kind: PickleObject.Kind =
      switch opcode {
      case .append, .appends: .list
      case .addItems: .set
      default: .dictionary
      }
    guard stack.count > marks.last ?? 0, case .object(let target)? = stack.last,
      arena.objects[target].kind == kind
    else { throw malformed("items for something that is no \(kind)") }
    guard kind != .dictionary || items.count % 2 == 0 else {
      throw malformed("a dictionary's key has no value")
    }
    arena.objects[target].items += items
  }

  // MARK: Names, calls and storages

  private mutating func pushGlobal(module: String, name: String) throws(ModelFileError) {
    guard let known = PickleGlobal(module: module, name: name) else {
      throw forbidden("call '\(printable("\(module).\(name)"))'")
    }
    try push(.global(known))
  }

  private mutating func reduce() throws(ModelFileError) {
    guard let arguments = arena.items(of: try pop(), .tuple) else {
      throw malformed("REDUCE without a tuple")
    }
    guard case .global(let function) = try pop() else { throw forbidden("call something that is not a name") }
    try push(try call(function, arguments))
  }

  /// Attributes of an OrderedDict (`_metadata` of a state dict) are dropped; nothing else may have any.
  private mutating func build() throws(ModelFileError) {
    _ = try pop()
    guard stack.count > marks.last ?? 0, case .object(let target)? = stack.last,
      arena.objects[target].kind == .dictionary
    else { throw forbidden("set the state of an object") }
  }

  private mutating func pushStorage() throws(ModelFileError) {
    let identity = try pop()
    guard let items = arena.items(of: identity, .tuple), (5...6).contains(items.count),
      case .string("storage") = items[0], case .global(.storageClass(let element)) = items[1],
      let key = PickleMachine.key(items[2]), case .int(let count) = items[4], count >= 0
    else { throw malformed("a persistent id is no ('storage', class, key, location, size)") }
    var storage = TorchStorage(key: key, element: element, count: count)
    if items.count == 6, let view = arena.items(of: items[5], .tuple) {
      guard view.count == 3, case .int(let start) = view[1], case .int(let size) = view[2], start >= 0,
        size >= 0,
        start <= count, size <= count - start
      else { throw malformed("a view of storage '\(printable(key))' does not lie inside it") }
      storage.view = start..<start + size
    }
    guard storage.byteCount != nil else {
      throw malformed("storage '\(printable(key))' of \(count) elements cannot be")
    }
    arena.storages.append(storage)
    try push(.storage(TorchStorageReference(index: arena.storages.count - 1)))
  }

  static func key(_ value: PickleValue) -> String? {
    switch value {
    case .string(let text): text
    case .int(let number): String(number)
    default: nil
    }
  }

  // MARK: Errors

  /// A pickle that makes no sense.
  func malformed(_ message: String) -> ModelFileError {
    ModelFileError(
      .badStructure, path: path, "bad pickle: \(message)", advice: "the file is damaged or no checkpoint")
  }

  /// A pickle that wants more than tensors.
  func forbidden(_ wish: String) -> ModelFileError {
    ModelFileError(
      .forbiddenPickle, path: path, "the pickle wants to \(wish)", advice: "only tensors can be loaded")
  }

  private func underflow() -> ModelFileError { malformed("a value is taken from an empty stack") }

  private func unknown(_ code: UInt8, _ cursor: inout FileCursor) throws(ModelFileError) -> ModelFileError {
    if code == 0x69 {  // INST: the class's module and name follow
      let module = String(decoding: try cursor.line(), as: UTF8.self)
      let name = String(decoding: try cursor.line(), as: UTF8.self)
      return forbidden("call '\(printable("\(module).\(name)"))'")
    }
    if let wish = Opcode.refused[code] { return forbidden(wish) }
    return malformed(
      "opcode 0x\(String(code, radix: 16)) at byte \(cursor.place - 1) is not one that checkpoints use")
  }
}
