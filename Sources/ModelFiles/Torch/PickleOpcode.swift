/// The opcodes that checkpoints use, by their bytes.
enum Opcode: UInt8 {
  case mark = 0x28  // (
  case stop = 0x2E  // .
  case pop = 0x30, popMark = 0x31  // 0 1
  case binFloat = 0x47  // G
  case binInt = 0x4A, binInt1 = 0x4B, binInt2 = 0x4D  // J K M
  case none = 0x4E  // N
  case binPersID = 0x51  // Q
  case reduce = 0x52  // R
  case binString = 0x54, shortBinString = 0x55  // T U
  case binUnicode = 0x58  // X
  case append = 0x61, build = 0x62, global = 0x63, appends = 0x65  // a b c e
  case binGet = 0x68, longBinGet = 0x6A  // h j
  case binPut = 0x71, longBinPut = 0x72  // q r
  case setItem = 0x73, tuple = 0x74, setItems = 0x75  // s t u
  case emptyTuple = 0x29, emptyList = 0x5D, emptyDict = 0x7D  // ) ] }
  case binBytes = 0x42, shortBinBytes = 0x43  // B C
  case proto = 0x80
  case tuple1 = 0x85, tuple2 = 0x86, tuple3 = 0x87
  case newTrue = 0x88, newFalse = 0x89
  case long1 = 0x8A, long4 = 0x8B
  case shortBinUnicode = 0x8C, binUnicode8 = 0x8D, binBytes8 = 0x8E
  case emptySet = 0x8F, addItems = 0x90, frozenSet = 0x91
  case stackGlobal = 0x93, memoize = 0x94, frame = 0x95, byteArray8 = 0x96

  /// Opcodes that make or call things, and what a pickle that holds one wants.
  static let refused: [UInt8: String] = [
    0x69: "make an object (INST)", 0x6F: "make an object (OBJ)",
    0x81: "make an object (NEWOBJ)", 0x92: "make an object (NEWOBJ_EX)",
    0x82: "use the extension registry (EXT1)", 0x83: "use the extension registry (EXT2)",
    0x84: "use the extension registry (EXT4)",
    0x50: "load an outside object (PERSID)", 0x97: "use an outside buffer (NEXT_BUFFER)",
    0x98: "use an outside buffer (READONLY_BUFFER)",
  ]
}
